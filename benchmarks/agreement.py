"""Share of predictions that agree with scikit-learn's KNeighborsClassifier on the floats.

Five neighbours, euclidean. Digits: every row is predicted once, in five folds. Fashion-MNIST: the
10 000 test images, fitted on the 60 000 training images. The accuracies of both stand beside it.

    python benchmarks/agreement.py
"""

import numpy as np
from datasets import digits, fashion_mnist
from report import Table, show
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from skquant import QuantizedKNeighborsClassifier


def on_digits(classifier):
    """Predict every row by folds."""
    X, y = digits()
    return y, cross_val_predict(classifier, X, y, cv=KFold(5, shuffle=True, random_state=0))


def on_fashion_mnist(classifier):
    """Predict the test images."""
    X_train, y_train, X_test, y_test = fashion_mnist()
    return y_test, classifier.fit(X_train, y_train).predict(X_test)


def run(all_bits=(4, 8)):
    """Compare predictions at several bits."""
    results = []
    for name, predict in {"digits": on_digits, "Fashion-MNIST": on_fashion_mnist}.items():
        truth, exact = predict(KNeighborsClassifier(algorithm="brute"))
        for bits in all_bits:
            _, found = predict(QuantizedKNeighborsClassifier(bits=bits, random_state=0))
            shares = [np.mean(found == exact), np.mean(found == truth), np.mean(exact == truth)]
            results.append((name, bits, *(100 * share for share in shares)))
    columns = [("data", ""), ("bits", "g"), ("agreement, %", ".2f"), ("accuracy, %", ".2f")]
    return [Table("agreement", [*columns, ("accuracy on floats, %", ".2f")], results)]


if __name__ == "__main__":
    show(run())
