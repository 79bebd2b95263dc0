"""Which names a pickle of plain data or of an estimator needs; what else it names is told to the user."""

from __future__ import annotations

import re

from diffai_lib_pickle.arrays import NUMPY_NAMES
from diffai_lib_pickle.standard import STANDARD_NAMES

_WILDCARDS = tuple(name.removesuffix("*") for name in NUMPY_NAMES | STANDARD_NAMES if name.endswith(".*"))
# Classes only: these packages also have functions that open files or run code.
_CLASSES = re.compile(
    r"(?:sklearn|xgboost|lightgbm|catboost)(?:\.\w+)*\._*[A-Z]\w*"
    r"|sklearn(?:\.\w+)*\.newObj"
    r"|imblearn(?:\.\w+)*\._*[A-Z]\w*"
    r"|pandas\.(?:core|_libs|tseries|arrays)(?:\.\w+)*\.[A-Z]\w*"
    r"|pandas\.(?:DataFrame|Series|(?:\w+)?Index|Categorical|\w+Dtype|Timestamp|Timedelta|Period|Interval)"
    r"|scipy\.sparse(?:\.\w+)*\.(?:csr|csc|coo|bsr|dia|dok|lil)_(?:matrix|array)"
    r"|numpy\.random(?:\.\w+)*\.(?:RandomState|Generator|MT19937|PCG64|PCG64DXSM|Philox|SFC64|SeedSequence)"
)
_BUILDERS = frozenset(
    {
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "joblib.numpy_pickle.NDArrayWrapper",
        "joblib.numpy_pickle.ZNDArrayWrapper",
        *(f"numpy.random._pickle.__{name}_ctor" for name in ("randomstate", "bit_generator", "generator")),
        "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
        "numpy.random.__RandomState_ctor",
        "numpy.ma.core._mareconstruct",
        "pandas._libs.internals._unpickle_block",
        "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked",
        "pandas.core.indexes.base._new_Index",
        "pandas.core.indexes.datetimes._new_DatetimeIndex",
        "pandas._libs.tslibs.timestamps._unpickle_timestamp",
        "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper",
        "sklearn.externals.joblib.numpy_pickle.NDArrayWrapper",
    }
)


def is_data(path: str) -> bool:
    """Whether a name stands for a plain type, a NumPy array, or a class of a library of estimators."""
    return (
        path in STANDARD_NAMES
        or path in NUMPY_NAMES
        or path in _BUILDERS
        or path.startswith(_WILDCARDS)
        or _CLASSES.fullmatch(path) is not None
    )
