"""Pruning as the last step of a scikit-learn pipeline, its sparsity chosen by cross-validation."""

import math

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

import tamis


class Sparsify(Callback):
    """Attaches gradual magnitude pruning when training begins, and lets go of the model when it has ended."""

    def __init__(self, sparsity=0.9):
        self.sparsity = sparsity

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        steps = net.max_epochs * math.ceil(len(X) / net.batch_size)
        self.sparsifier_ = tamis.GMP(sparsity=self.sparsity, total_steps=steps)
        self.sparsifier_.attach(net.module_, net.optimizer_)

    def on_train_end(self, net, **kwargs):
        self.sparsifier_.finalize()


def build(epochs=10):
    """Scale, then a multilayer perceptron that is pruned while it trains."""
    network = NeuralNetClassifier(
        lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=0.1,
        max_epochs=epochs,
        batch_size=64,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks=[("sparsify", Sparsify())],
        verbose=0,
    )
    return make_pipeline(StandardScaler(), network)


if __name__ == "__main__":
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    images = images.astype("float32")
    name = "neuralnetclassifier__callbacks__sparsify__sparsity"
    search = GridSearchCV(build(), {name: [0.8, 0.95]}, cv=3).fit(images, labels)
    module = search.best_estimator_[-1].module_
    zeros = sum(int((layer.weight == 0).sum()) for layer in (module[0], module[2]))
    print(f"best sparsity {search.best_params_[name]}, {zeros} zeros, accuracy {search.best_score_:.3f}")
