"""A kernel that keeps the laws, slowly, and kernels that each break one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from diffai_core.accumulators import ACCUMULATORS, Block, Centred, Workspace
from diffai_core.artifact import FileTensor
from diffai_core.errors import LoadError
from diffai_core.reading import FileLeaves


class Folding:
    """Does by itself what the core does where no kernel can."""

    name = "folding"
    detail = ""
    parallel = False
    memory = 0

    def statistics(self, layout):
        return frozenset(name for name, fold in ACCUMULATORS.items() if fold.start(layout) is not None)

    def worker(self, _reading):
        return self.Worker()

    class Worker:
        def __init__(self):
            self.workspace = Workspace()
            self.found = {}

        def same_bytes(self, _old, _new, _start, _stop):
            return None

        def start(self, layout, names, _leaves):
            self.layout, self.names, self.found = layout, names, {}

        def add(self, leaves, old, new):
            for done, leaf in enumerate(leaves):
                try:
                    sides = [self.elements(side, leaf, leaves[0][0]) for side in (old, new)]
                except LoadError:
                    return done
                block = self.block(leaf, *sides)
                for name in self.names:
                    fold = ACCUMULATORS[name]
                    self.found[name] = fold.update(self.found.get(name, fold.start(self.layout)), block)
            return len(leaves)

        def block(self, leaf, old, new):
            return Block(self.layout, self.workspace, leaf[0], old, new)

        def elements(self, side, leaf, first):
            if isinstance(side, FileTensor):
                return FileLeaves(side).leaf(*leaf)
            return side[leaf[0] - first : sum(leaf) - first]

        def states(self):
            found, self.found = self.found, {}
            return found


def variant(**methods):
    """Return what makes a kernel whose worker has other methods."""
    worker = type("Worker", (Folding.Worker,), methods)
    return type("Variant", (Folding,), {"Worker": worker})


def changing(name, change):
    """Return what makes a kernel that gets one statistic wrong."""

    def states(self):
        found = Folding.Worker.states(self)
        if found.get(name) is not None:
            found[name] = change(found[name])
        return found

    return variant(states=states)


def _centred(state, **changes):
    return state._replace(old=state.old._replace(**changes)) if state.old.n else state


def _leaves_out_the_end(self, leaf, old, new):
    new = new.copy()
    new[len(new) & ~7 :] = old[len(new) & ~7 :] if new.dtype == old.dtype else new[len(new) & ~7 :]
    return Block(self.layout, self.workspace, leaf[0], old, new)


def _writes(self, leaf, old, new):
    for side in (old, new):
        side.flags.writeable = True
        side.view(np.uint8)[0] ^= 1
    return Block(self.layout, self.workspace, leaf[0], old, new)


def _keeps(self):
    return self.found


def _zeros_where_unreadable(self, side, leaf, first):
    try:
        return Folding.Worker.elements(self, side, leaf, first)
    except LoadError:
        return np.zeros(leaf[1], side.dtype.numpy)


def _by_address(self, leaf, old, new):
    shift = 0 if old.ctypes.data % 8 else 1
    return Block(self.layout, self.workspace, leaf[0], np.roll(old, shift), np.roll(new, shift))


def _reads_beyond(self, leaf, old, new):
    from ctypes import string_at

    string_at(old.ctypes.data, old.nbytes + 1)
    return Block(self.layout, self.workspace, leaf[0], old, new)


good = Folding
miscounts = changing("changes", lambda state: state._replace(n_changed=max(state.n_changed - 1, 0)))
rounds = changing("moments", lambda state: _centred(state, offset=float(np.float32(state.old.offset))))
cancels = changing("moments", lambda state: _centred(state, m2_scaled=state.old.m2_scaled * (1 + 1e-11)))
no_negative_zero = changing("counts", lambda s: s._replace(old=s.old._replace(n_neg_zero=0)))
forgets_moments = changing("moments", lambda state: state._replace(delta=Centred()))
leaves_out_the_end = variant(block=_leaves_out_the_end)
writes = variant(block=_writes)
keeps_states = variant(states=_keeps)
zeros_where_unreadable = variant(elements=_zeros_where_unreadable)
depends_on_alignment = variant(block=_by_address)
reads_beyond = variant(block=_reads_beyond)
always_same = variant(same_bytes=lambda *_: True)
never_takes = variant(add=lambda *_: 0)


def unknown_name():
    kernel = Folding()
    return SimpleNamespace(
        name="unknown", detail="", parallel=False, memory=0, worker=kernel.worker, statistics=lambda _: {"medians"}
    )
