"""What pickles of fitted values hold."""

from dataclasses import fields


class Value:
    """A dataclass that is pickled as its fields, without what is computed from them and kept.

    So a pickle does not depend on what its object was used for, and neither do hashes of it, by
    which joblib and Dask recognise what they have computed before.
    """

    def __getstate__(self):
        return {field.name: getattr(self, field.name) for field in fields(self)}
