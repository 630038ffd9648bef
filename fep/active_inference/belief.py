"""Beliefs over the state factors of a model, their predictions and what outcomes say of them."""

from collections.abc import Iterable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fep.active_inference.model import Indices, Model

Tensor = Float[Array, "..."]
Observation = Sequence[int | Int[Array, ""] | Float[Array, " _"]]
Observations = Sequence[Int[Array, " _"] | Float[Array, "_ _"]]  # along time

# names of axes for contractions: a factor is its number, these stay out of its way
NODE, ACTION, TERM = -1, 100_000, 100_001
NEXT, OUTCOME = 1_000, 10_000  # plus the factor, plus the modality


class Belief(eqx.Module):
    r"""$q(s) = \prod_b q_b(s_b)$: a joint table inside a block of factors, independence between.

    One block of all factors is the exact joint; one factor a block is the mean field. While
    planning, a table may have a leading axis of nodes, one for each sequence of actions so far.

    Attributes:
        tables: one a block, shape (nodes, if they differ there; states of each of its factors).
        blocks: the factors of each block.
    """

    tables: tuple[Tensor, ...]
    blocks: Indices = eqx.field(static=True)

    def axes(self, block: int) -> list[int]:
        """Names of the axes of a block's table."""
        factors = list(self.blocks[block])
        return factors if self.tables[block].ndim == len(factors) else [NODE, *factors]

    def mean(self, *terms: tuple[Tensor, Sequence[int]], keep: Sequence[int] = ()) -> Tensor:
        """Product of `terms`, (array, names of its axes) each, averaged over all but `keep`.

        A leading axis of nodes comes out if any table that matters has one.
        """
        named = {axis for _, axes in terms for axis in axes} | set(keep)
        blocks = [b for b, factors in enumerate(self.blocks) if named & set(factors)]
        parts = [*((self.tables[b], self.axes(b)) for b in blocks), *terms]
        nodes = [NODE] if any(NODE in axes for _, axes in parts) else []
        names = {a: i for i, a in enumerate(sorted({a for _, axes in parts for a in axes}))}
        interleaved = [x for array, axes in parts for x in (array, [names[a] for a in axes])]
        return jnp.einsum(*interleaved, [names[a] for a in (*nodes, *keep)])

    def over(self, blocks: Iterable[int]) -> "Belief":
        """Some of the blocks: a mean then leaves the factors of the others as they are."""
        blocks = tuple(blocks)
        return Belief(tuple(self.tables[b] for b in blocks), tuple(self.blocks[b] for b in blocks))

    def marginals(self) -> tuple[Float[Array, "... states"], ...]:
        """Belief over each factor."""
        return tuple(self.mean(keep=(f,)) for f in range(sum(map(len, self.blocks))))

    def factorised(self) -> "Belief":
        """The product of the marginals."""
        marginals = self.marginals()
        return Belief(marginals, tuple((f,) for f in range(len(marginals))))


def joint(model: Model) -> Indices:
    """One block of all factors."""
    return (tuple(range(len(model.D))),)


def mean_field(model: Model) -> Indices:
    """One block a factor."""
    return tuple((f,) for f in range(len(model.D)))


def prior(model: Model, blocks: Indices) -> Belief:
    """The belief D before anything is seen or done."""
    whole = Belief(model.D, mean_field(model))
    return Belief(tuple(whole.mean(keep=factors) for factors in blocks), blocks)


def steered(model: Model, blocks: Indices) -> tuple[bool, ...]:
    """Whether actions reach each block: by a control, or through a factor that has one."""
    reached = {
        f
        for f, controls in enumerate(model.dependencies.controls)
        if any(model.num_controls[c] > 1 for c in controls)
    }
    grown = None
    while grown != reached:
        grown = set(reached)
        for block in blocks:
            causes = {i for f in block for i in (f, *model.dependencies.B[f])}
            reached |= set(block) if causes & reached else set()
    return tuple(bool(set(block) & reached) for block in blocks)


def transition(model: Model, factor: int) -> tuple[Tensor, list[int]]:
    """B of one factor over joint actions, and the names of its axes; no ACTION if unsteered.

    The next state comes last, as a product with beliefs leaves it.
    """
    b, controls = model.transitions[factor], model.dependencies.controls[factor]
    axes = list(model.dependencies.B[factor])
    b = b.reshape(*b.shape[: len(axes)], -1, b.shape[-1])
    if b.shape[-2] == 1:
        return b[..., 0, :], [*axes, NEXT + factor]
    sizes = [model.num_controls[c] for c in controls]
    index = np.ravel_multi_index(model.options()[:, list(controls)].T, sizes)
    if not np.array_equal(index, np.arange(b.shape[-2])):
        b = b[..., index, :]
    return b, [*axes, ACTION, NEXT + factor]


def predict(model: Model, belief: Belief) -> Belief:
    """Beliefs one step on, for every joint action: the children of every node.

    Child `node * actions + action` follows its parent. Tables that no action reaches keep one
    copy for all nodes. Between blocks the prediction is a product: a B that couples factors of
    different blocks loses their correlation, which one joint block keeps.
    """
    tables = []
    nodes = (t.shape[0] for b, t in enumerate(belief.tables) if NODE in belief.axes(b))
    parents = max(nodes, default=1)
    for b, factors in enumerate(belief.blocks):
        if belief.axes(b) == list(factors) and set(factors) <= set(model.fixed):
            tables.append(belief.tables[b])
            continue
        terms = [transition(model, f) for f in factors if f not in model.fixed]
        steered = any(ACTION in axes for _, axes in terms)
        after = [f if f in model.fixed else NEXT + f for f in factors]
        keep = [ACTION] * steered + after
        table = belief.mean(*terms, keep=keep)
        sizes = tuple(model.num_states[f] for f in factors)
        nodes = table.ndim - len(keep)
        if nodes or steered:
            shape = (parents if nodes else 1, model.num_actions if steered else 1, *sizes)
            whole = (parents, model.num_actions, *sizes)
            table = jnp.broadcast_to(table.reshape(shape), whole).reshape(-1, *sizes)
        tables.append(table)
    return Belief(tuple(tables), belief.blocks)


def advance(model: Model, belief: Belief, action: Int[Array, ""]) -> Belief:
    """The belief one step on, after one joint action."""
    tables = []
    for factors in belief.blocks:
        moving = [f for f in factors if f not in model.fixed]
        terms = [transition(model, f) for f in moving]
        steered = any(ACTION in axes for _, axes in terms)
        # moving factors last, as B leaves them: B is not transposed, and the one child is
        still = [f for f in factors if f in model.fixed]
        order = [*still, *moving]
        keep = [*still, *([ACTION] * steered), *(NEXT + f for f in moving)]
        table = belief.mean(*terms, keep=keep)
        if steered:
            table = jax.lax.dynamic_index_in_dim(table, action, len(still), keepdims=False)
        tables.append(jnp.transpose(table, [order.index(f) for f in factors]))
    return Belief(tuple(tables), belief.blocks)


def evidence(model: Model, observation: Observation) -> list[tuple[Tensor, tuple[int, ...]]]:
    r"""What each modality says: $\sum_o \lambda(o) A_g(o \mid s)$, and the factors s it is about.

    An outcome is an index, negative if it is missing, or a vector $\lambda$ of the likelihood of
    what was sensed under each outcome (virtual evidence): one-hot is the index, constant is
    missing. The model is not touched.

    Source: Pearl (1988), Probabilistic Reasoning in Intelligent Systems, sec. 2.2.2.
    """
    if len(observation) != len(model.A):
        raise ValueError(f"observation: expected {len(model.A)} outcomes, got {len(observation)}")
    said = []
    for a, outcome, factors in zip(model.A, observation, model.dependencies.A, strict=True):
        outcome = jnp.asarray(outcome)
        if jnp.issubdtype(outcome.dtype, jnp.integer):
            seen = jnp.where(outcome < 0, 1.0, a[jnp.maximum(outcome, 0)])
        else:
            seen = jnp.tensordot(outcome, a, 1)
        said.append((seen.astype(a.dtype), factors))
    return said
