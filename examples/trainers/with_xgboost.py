"""XGBoost, swept: raysweep run examples/trainers/with_xgboost.json"""

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from raysweep.integrations.xgboost import TrialCallback


def train(config):
    parts = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)
    training, validation = xgboost.DMatrix(parts[0], parts[2]), xgboost.DMatrix(parts[1], parts[3])
    callback = TrialCallback()
    xgboost.train(
        {"objective": "binary:logistic", "eta": config["eta"], "max_depth": config["max_depth"]},
        training,
        callback.rounds_left(config["epochs"]),
        evals=[(validation, "val")],
        callbacks=[callback],
        xgb_model=callback.checkpoint,
        verbose_eval=False,
    )
