"""Published estimators in joblib files against what joblib and scikit-learn read from them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from command import run_diffai

from diffai_core.plugin import Source

pytestmark = pytest.mark.real


def load(path):
    """Read a file with the libraries that it is made for."""
    joblib = pytest.importorskip("joblib")
    pytest.importorskip("sklearn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of another version
        return joblib.load(path)


def opened(path):
    from diffai_load_pickle.loader import open_pickle

    return open_pickle(Source(path), {})


@pytest.mark.parametrize("name", ["profanity-1.6", "profanity-1.9"])
def test_a_published_classifier_has_the_coefficients_that_scikit_learn_reads(model, name):
    path = model(name)
    library = load(path)
    with opened(path) as artifact:
        assert artifact.foreign == artifact.not_readable == ()
        assert artifact.tree["__class__"] == "sklearn.calibration.CalibratedClassifierCV"
        for number, part in enumerate(library.calibrated_classifiers_):
            for attribute in ("coef_", "intercept_", "classes_"):
                read = artifact.tensors[f"calibrated_classifiers_.{number}.estimator.{attribute}"].read()
                assert np.array_equal(read, getattr(part.estimator, attribute))
            fitted = artifact.tree["calibrated_classifiers_"][number]
            assert fitted["calibrators"][0]["a_"] == part.calibrators[0].a_
            assert fitted["estimator"]["C"] == part.estimator.C


def test_a_published_vectorizer_has_its_whole_vocabulary(model):
    path = model("profanity-vectorizer-1.9")
    library = load(path)
    with opened(path) as artifact:
        assert artifact.tree["vocabulary_"] == {token: int(number) for token, number in library.vocabulary_.items()}
        assert np.array_equal(artifact.tensors["_tfidf.idf_"].read(), library.idf_)


def test_two_published_versions_of_a_model_differ_in_their_coefficients(model):
    done = run_diffai(str(model("profanity-1.6")), str(model("profanity-1.9")))
    assert done.returncode == 1
    assert "calibrated_classifiers_.0.estimator.coef_" in done.stdout
    assert '~ _sklearn_version: "1.6.1" -> "1.9.1"' in done.stdout
