"""What every estimator of the package shares."""

from sklearn.base import BaseEstimator

from ._sklearn_compat import CallbackSupportMixin

DOCUMENTATION = "https://skquant.readthedocs.io/en/stable"


class Estimator(CallbackSupportMixin, BaseEstimator):
    """An estimator that tells callbacks how far it is, and whose HTML links to its page."""

    _doc_link_module = "skquant"
    _doc_link_template = f"{DOCUMENTATION}/generated/{{estimator_module}}.{{estimator_name}}.html"
