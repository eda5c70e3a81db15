"""Hugging Face's Trainer, swept: raysweep run examples/trainers/with_transformers.json"""

import tempfile

from sklearn.datasets import load_digits
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from raysweep.integrations.transformers import TrialCallback


def load():
    images, labels = load_digits(return_X_y=True)  # each image is a text of 64 tokens, of which there are 17
    return [{"input_ids": tokens, "labels": label} for tokens, label in zip(images.astype(int), labels, strict=True)]


def train(config):
    data, callback = load(), TrialCallback()
    shape = {"hidden_size": config["hidden"], "intermediate_size": 2 * config["hidden"], "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(vocab_size=17, num_hidden_layers=1, num_labels=10, **shape))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=config["epochs"],
            learning_rate=config["lr"],
            per_device_train_batch_size=100,
            eval_strategy="epoch",
            logging_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(model, arguments, train_dataset=data[:1500], eval_dataset=data[1500:], callbacks=[callback])
        trainer.train(resume_from_checkpoint=callback.checkpoint)
