"""scikit-learn's estimators, swept: raysweep run examples/trainers/with_sklearn.json"""

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from raysweep.integrations.sklearn import Loop


def train(config):
    values, labels = load_digits(return_X_y=True)
    parts = train_test_split(values / 16, labels, random_state=0)
    estimator = SGDClassifier(loss="log_loss", alpha=config["alpha"], random_state=0)
    loop = Loop(estimator)
    for _ in loop.epochs(config["epochs"]):
        estimator.partial_fit(parts[0], parts[2], classes=range(10))
        loop.metrics(val_loss=log_loss(parts[3], estimator.predict_proba(parts[1])))
