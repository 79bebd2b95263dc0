"""Comparators and folds, each of which breaks one law."""

from __future__ import annotations

import itertools
import random
import warnings

import numpy as np

from diffai_core.plugin import Finding

_COUNTER = itertools.count()


def always_changed(comparison, options):
    yield Finding("changed", level="change")


def only_growth(comparison, options):
    for result in comparison.results:
        if result.pair.old is None:
            yield Finding("tensor_appeared", where=result.pair.key)


def fails_on_nan(comparison, options):
    for result in comparison.results:
        if result.pair.new is not None and result.pair.new.dtype.name == "float32":
            assert not np.isnan(result.pair.new.read()).any()
    return ()


def fails_on_empty(comparison, options):
    for result in comparison.results:
        if result.pair.new is not None and result.pair.new.dtype.kind == "int":
            result.pair.new.read().max()
    return ()


def warns(comparison, options):
    warnings.warn("divide by zero", RuntimeWarning, stacklevel=1)
    return ()


def numpy_values(comparison, options):
    yield Finding("largest", level="info", values={"max": np.float64(1)})


def unknown_place(comparison, options):
    yield Finding("changed", where="nowhere", level="info")


def unknown_level(comparison, options):
    yield Finding("changed", level="loud")


def two_lines(comparison, options):
    yield Finding("changed", level="info", message="one\ntwo")


def silent_refusal(comparison, options):
    yield Finding("rank", status="not_measurable", level="info")


def threshold_of_no_source(comparison, options):
    yield Finding("drift", level="info", threshold=0.1)


def share_above_one(comparison, options):
    yield Finding("drift", level="info", coverage=1.5)


def camel_case(comparison, options):
    yield Finding("LearningProgress", level="info")


def another_each_time(comparison, options):
    yield Finding("count", level="info", values={"n": next(_COUNTER)})


def needs_an_option(comparison, options):
    yield Finding("option", level="info", values={"value": options["threshold"] + 1})


def quiet(comparison, options):
    return ()


def shows_the_fold(comparison, options):
    for result in comparison.results:
        for value in result.statistics.values():
            if isinstance(value, int):
                yield Finding("count", where=result.pair.key, level="info", values={"n": value})


class CountsElements:
    def start(self, layout):
        return 0

    def update(self, state, block):
        return state + block.count

    def merge(self, left, right):
        return left + right

    def finish(self, state):
        return state


class CountsBlocks(CountsElements):
    def update(self, state, block):
        return state + 1


class StartsAtOne(CountsElements):
    def start(self, layout):
        return 1


class KeepsTheLeft(CountsElements):
    def merge(self, left, right):
        return left


class Subtracts(CountsElements):
    def merge(self, left, right):
        return left - right


class HoldsAFunction(CountsElements):
    def start(self, layout):
        return lambda: 0

    def update(self, state, block):
        return state


class IsRandom(CountsElements):
    def finish(self, state):
        return state + random.random()
