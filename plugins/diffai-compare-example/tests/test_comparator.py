"""What the laws cannot know: that the numbers are right. The flips are planted."""

from __future__ import annotations

import diffai_compare_example.plugin
import numpy as np

from diffai_core.testing import ComparatorTests, artifact


def test_planted_flips_are_counted():
    old = np.array([1.0, -2.0, 3.0, 0.0, np.nan, 1e-45], np.float32)
    new = np.array([-1.0, -2.0, 4.0, -5.0, -1.0, -1e-45], np.float32)
    one, total = compare({"w": old}, {"w": new})
    assert one.values == {"n_flipped": 2, "n_values": 5, "share": 0.4}
    assert total.values == {"n_flipped": 2, "n_values": 5}


def test_a_tensor_of_another_shape_cannot_tell():
    one, total = compare({"w": np.ones(3, np.float32)}, {"w": -np.ones(4, np.float32)})
    assert one.status == "not_measurable"
    assert "shape" in one.message
    assert total.values == {"n_flipped": 0, "n_values": 0}


def compare(old, new):
    kit = ComparatorTests()
    kit.plugin = diffai_compare_example.plugin
    return kit.compare(artifact(old), artifact(new))
