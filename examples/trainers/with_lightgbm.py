"""LightGBM, swept: raysweep run examples/trainers/with_lightgbm.json"""

import lightgbm
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from raysweep.integrations.lightgbm import TrialCallback


def train(config):
    parts = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)
    training = lightgbm.Dataset(parts[0], parts[2])
    callback = TrialCallback()
    lightgbm.train(
        {"objective": "binary", "learning_rate": config["eta"], "max_depth": config["max_depth"], "verbosity": -1},
        training,
        callback.rounds_left(config["epochs"]),
        valid_sets=[lightgbm.Dataset(parts[1], parts[3], reference=training)],
        valid_names=["val"],
        callbacks=[callback],
        init_model=callback.checkpoint,
    )
