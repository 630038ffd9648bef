"""Which entropy of outcomes the epistemic value is made of."""

import math
from collections.abc import Hashable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from fep.active_inference.belief import OUTCOME, Belief
from fep.active_inference.model import Indices, Model
from fep.information import entropy


class Entropies(NamedTuple):
    """The part of an outlook that is about the entropy of outcomes."""

    linear: dict  # factors -> entropy that is linear in the states
    rows: dict  # (factors, those held open) -> outcomes, last, whose entropies add up


class JointInformation(eqx.Module):
    r"""Entropy of all outcomes of a step together, $H[q(o^1, o^2, \dots)]$.

    With it the epistemic value is the mutual information of states and outcomes, and never above
    the entropy of the states. Modalities that reveal factors one to one are replaced by those
    factors, and what is independent is summed apart, both exactly.

    Attributes:
        limit: most entries that a table of joint outcomes, given states, may have.
    """

    limit: int = eqx.field(static=True, default=2**20)

    def shown(self, model: Model, belief: Belief) -> Indices:
        """Sets of factors whose own entropies belong to the sum."""
        shown = {f for factors in model.reveals for f in factors}
        if self._pure(shown, belief):
            return tuple(block for block in belief.blocks if shown.issuperset(block))
        parts = _parts(model, belief, shown)
        return tuple(held for group, held in parts if held and not group)

    def alone(self, model: Model) -> list[int]:
        """Modalities whose own entropies belong to the sum: none."""
        return []

    def entropies(self, model: Model, belief: Belief, still: Belief) -> Entropies:
        """Entropies that are linear in the states, and the tables of the others."""
        shown = {f for factors in model.reveals for f in factors}
        linear, rows = {}, {}
        free = {f for b in belief.blocks if b not in still.blocks for f in b}
        if self._pure(shown, belief):
            hidden = [b for b in belief.blocks if shown.isdisjoint(b)]
            parts = ((group, ()) for group in _components(model, _others(model), hidden))
            still = still.over(b for b, block in enumerate(still.blocks) if block in hidden)
        else:
            parts = ((group, held) for group, held in _parts(model, belief, shown) if group)
        for group, held in parts:
            seen = sorted({f for g in group for f in model.dependencies.A[g]} | set(held))
            pure = self._pure(shown, belief)
            keep = tuple(f for f in seen if f in free or f in held or (pure and f in shown))
            table = self._outcomes(model, still, group, keep)
            if pure and all(f in shown for f in keep):  # given what is shown, nothing is open
                add_to(linear, keep, entropy(table))
            else:
                append_to(rows, (keep, tuple(f for f in keep if f in shown)), table)
        return Entropies(linear, rows)

    def _pure(self, shown, belief):
        return all(shown.issuperset(b) or shown.isdisjoint(b) for b in belief.blocks)

    def _outcomes(self, model, belief, modalities, keep):
        """Joint table of outcomes given the factors to keep: (kept factors..., outcomes)."""
        size = math.prod(model.num_outcomes[g] for g in modalities)
        whole = size * math.prod(model.num_states[f] for f in keep)
        if whole > self.limit:
            raise ValueError(
                f"JointInformation: expected at most {self.limit} entries, got {whole} of "
                f"modalities {tuple(modalities)}; use PerModality, or raise `limit`"
            )
        terms = [(model.A[g], [OUTCOME + g, *model.dependencies.A[g]]) for g in modalities]
        terms += [(jnp.ones(model.num_states[f], model.A[0].dtype), [f]) for f in keep]
        table = belief.mean(*terms, keep=[*keep, *(OUTCOME + g for g in modalities)])
        return table.reshape(*table.shape[: len(keep)], size)


class PerModality(eqx.Module):
    r"""Sum of the entropies of each modality's outcomes, $\sum_g H[q(o^g)]$.

    An upper bound on the joint entropy: the epistemic value counts what two modalities both tell
    twice. The convention of SPM's spm_MDP_VB_XX and of pymdp.
    """

    def shown(self, model: Model, belief: Belief) -> Indices:
        """Sets of factors whose own entropies belong to the sum."""
        return tuple(factors for factors in model.reveals if factors)

    def alone(self, model: Model) -> list[int]:
        """Modalities whose own entropies belong to the sum: all that leave something open."""
        return _others(model)

    def entropies(self, model: Model, belief: Belief, still: Belief) -> Entropies:
        """Nothing more."""
        return Entropies({}, {})


class NoInformation(eqx.Module):
    """Reward alone: outcomes are taken to be as uncertain as the ambiguity, which tells nothing."""

    def shown(self, model: Model, belief: Belief) -> Indices:
        """Sets of factors whose own entropies belong to the sum: none."""
        return ()

    def alone(self, model: Model) -> list[int]:
        """Modalities whose own entropies belong to the sum: none."""
        return []

    def entropies(self, model: Model, belief: Belief, still: Belief) -> Entropies:
        """The ambiguity once more, as an entropy."""
        linear = {}
        free = {f for b in belief.blocks if b not in still.blocks for f in b}
        for uncertainty, factors in zip(model.ambiguity, model.dependencies.A, strict=True):
            keep = tuple(f for f in sorted(factors) if f in free)
            add_to(linear, keep, still.mean((uncertainty, factors), keep=keep))
        return Entropies(linear, {})


Information = JointInformation | PerModality | NoInformation


def add_to(sums: dict, key: Hashable, table: Array):
    """Add a table to the sum under a key."""
    sums[key] = sums[key] + table if key in sums else table


def append_to(rows: dict, key: Hashable, table: Array):
    """Append a table's last axis to the rows under a key."""
    rows[key] = jnp.concatenate([rows[key], table], axis=-1) if key in rows else table


def _others(model):
    """Modalities that do not reveal states one to one."""
    return [g for g, factors in enumerate(model.reveals) if not factors]


def _components(model, modalities, blocks):
    """Modalities that share one of `blocks`, together; the others alone."""
    groups = []
    for g in modalities:
        mine = {b for b in blocks if set(b) & set(model.dependencies.A[g])}
        linked = [group for group in groups if group[1] & mine]
        groups = [group for group in groups if not group[1] & mine]
        groups.append(
            ([m for group in linked for m in group[0]] + [g], mine.union(*(x[1] for x in linked)))
        )
    return [sorted(group) for group, _ in groups]


def _parts(model, belief, shown):
    """Independent parts: modalities that share blocks, and the shown factors in those blocks."""
    touched = set()
    for group in _components(model, _others(model), belief.blocks):
        seen = {f for g in group for f in model.dependencies.A[g]}
        mine = {f for b in belief.blocks if set(b) & seen for f in b}
        touched |= mine
        yield group, tuple(sorted(mine & shown))
    for block in belief.blocks:
        if not set(block) & touched and set(block) & shown:
            yield [], tuple(f for f in block if f in shown)
