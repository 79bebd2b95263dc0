"""Which names a pickle of plain data or of an estimator needs; what else it names is told to the user."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diffai_lib_pickle.arrays import NUMPY_NAMES
from diffai_lib_pickle.standard import STANDARD_NAMES

if TYPE_CHECKING:
    from diffai_lib_pickle import Global

_WILDCARDS = tuple(name.removesuffix("*") for name in NUMPY_NAMES | STANDARD_NAMES if name.endswith(".*"))
# Classes only: these packages also have functions that open files or run code. And of the classes not those of tests,
# downloads, thread pools and files, which modules of these packages hold too.
_CLASSES = re.compile(
    r"(?:sklearn|imblearn)(?:\.(?!_testing|testing|tests|datasets|externals|parallel|fixes|_joblib|_arff|callback)\w+)*\._*[A-Z]\w*"
    r"|xgboost\.(?:sklearn\.XGB\w+|core\.(?:Booster|DMatrix))|lightgbm\.(?:sklearn\.LGBM\w+|basic\.(?:Booster|Dataset))"
    r"|catboost\.core\.(?:CatBoost\w*|Pool)|_catboost\._CatBoost"
    r"|sklearn(?:\.\w+)*\.newObj"
    r"|pandas\.core\.(?:frame|series|indexes|internals|arrays|dtypes)(?:\.\w+)*\.[A-Z]\w*"
    r"|pandas\.(?:_libs|tseries|arrays)(?:\.\w+)*\.[A-Z]\w*"
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
        *("numpy.ma.core._mareconstruct", "numpy.matrixlib.defmatrix.matrix", "numpy._core.records.recarray"),
        "pandas._libs.internals._unpickle_block",
        "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked",
        "pandas.core.indexes.base._new_Index",
        "pandas.core.indexes.datetimes._new_DatetimeIndex",
        "pandas._libs.tslibs.timestamps._unpickle_timestamp",
        "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper",
        "sklearn.externals.joblib.numpy_pickle.NDArrayWrapper",
    }
)


_NO_DATA = frozenset({"Popen", "Path", "Parallel", "Thread", "ThreadPool", "ThreadPoolExecutor", "Pool", "Process"})
"""Classes of others that modules of these packages import."""


def is_data(name: Global) -> bool:
    """Whether a name stands for a plain type, a NumPy array, or a class of a library of estimators."""
    path = name.path
    if "." in name.name or name.name in _NO_DATA:
        return path in STANDARD_NAMES  # a dotted name leads through whatever a module has imported
    return (
        path in STANDARD_NAMES
        or path in NUMPY_NAMES
        or path in _BUILDERS
        or path.startswith(_WILDCARDS)
        or _CLASSES.fullmatch(path) is not None
    )
