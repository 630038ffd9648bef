"""A discrete world: the arrays of its process, and the drawing of states and outcomes."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from fep.active_inference.model import Dependencies, Model

Table = Float[np.ndarray, "..."]
Index = Int[Array, ""]
SUM_TOLERANCE = 1e-6  # of a column given in float32


class POMDP(eqx.Module):
    r"""Arrays of a partially observed Markov decision process, as NumPy float64.

    $A^m_{o s} = P(o^m | s)$, $B^f_{s' s u} = P(s'^f | s, u^f)$, $C^m_o$ = log-preference for an
    outcome (nats, up to a constant), $D^f_s = P(s^f_0)$.

    Attributes:
        A: one a modality; the outcome first, then the state factors it depends on.
        B: one a factor; the next state first, then the factors it depends on, then the action.
        C: one a modality, shape (outcomes,), or (times, outcomes) where preferences change.
        D: one a factor, shape (states,).
        A_dependencies: state factors of each modality; left out, all of them.
        B_dependencies: state factors of each factor; left out, itself alone.

    Raises:
        ValueError: naming the array, the index and what is wrong there.
    """

    A: tuple[Table, ...]
    B: tuple[Table, ...]
    C: tuple[Table, ...]
    D: tuple[Table, ...]
    A_dependencies: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    B_dependencies: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __init__(
        self,
        A: Iterable[Any],
        B: Iterable[Any],
        C: Iterable[Any],
        D: Iterable[Any],
        A_dependencies: Sequence[Sequence[int]] | None = None,
        B_dependencies: Sequence[Sequence[int]] | None = None,
    ):
        as_tables = lambda arrays: tuple(np.asarray(a, np.float64) for a in arrays)
        self.A, self.B, self.C, self.D = map(as_tables, (A, B, C, D))
        factors = range(len(self.D))
        everything = [tuple(factors) for _ in self.A]
        self.A_dependencies = tuple(map(tuple, A_dependencies or everything))
        self.B_dependencies = tuple(map(tuple, B_dependencies or [(f,) for f in factors]))

    def __check_init__(self):
        states = [d.size for d in self.D]
        for name, arrays, dependencies, extra in (
            ("A", self.A, self.A_dependencies, 0),
            ("B", self.B, self.B_dependencies, 1),
        ):
            if len(arrays) != len(dependencies):
                raise ValueError(f"{len(arrays)} arrays {name}, {len(dependencies)} dependencies")
            for i, (array, needs) in enumerate(zip(arrays, dependencies, strict=True)):
                wanted = [states[f] for f in needs]
                found = list(array.shape[1 : array.ndim - extra])
                if found != wanted:
                    told = f"{name}[{i}]: expected {wanted} states of factors {list(needs)}"
                    raise ValueError(f"{told}, found {found} in shape {array.shape}")
        for f, (b, size) in enumerate(zip(self.B, states, strict=True)):
            if b.shape[0] != size:
                raise ValueError(f"B[{f}]: expected {size} next states, found {b.shape[0]}")
        for m, (a, c) in enumerate(zip(self.A, self.C, strict=True)):
            if c.shape[-1:] != a.shape[:1] or c.ndim > 2:
                told = f"expected shape ({len(a)},) or (times, {len(a)})"
                raise ValueError(f"C[{m}]: {told}, found {c.shape}")
        for name in "ABD":
            for i, array in enumerate(getattr(self, name)):
                _check_columns(f"{name}[{i}]", array)

    def model(self, **changed: Any) -> Model:
        """What an agent believes that knows the process, but for what is `changed`.

        Args:
            changed: arguments of `Model` that differ from the arrays here.
        """
        controls = tuple((f,) for f in range(len(self.D)))
        wired = Dependencies(self.A_dependencies, self.B_dependencies, controls)
        arrays = {"A": self.A, "B": self.B, "C": self.C, "D": self.D}
        return Model(**{**arrays, "dependencies": wired, **changed})

    @property
    def outcomes(self) -> tuple[int, ...]:
        """Number of outcomes of each modality."""
        return tuple(a.shape[0] for a in self.A)

    @property
    def actions(self) -> tuple[int, ...]:
        """Number of actions on each factor; 1 where nothing can be done."""
        return tuple(b.shape[-1] for b in self.B)


def _check_columns(name: str, array: Table) -> None:
    sums = array.sum(axis=0)
    wrong = (np.abs(sums - 1) > SUM_TOLERANCE) | (array < 0).any(axis=0) | ~np.isfinite(sums)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        column = array[(slice(None), *index)]
        told = f"expected probabilities that sum to 1, found {column} with sum {sums[index]}"
        raise ValueError(f"{name}: column {index}: {told}")


class WorldState(NamedTuple):
    """Where a world is."""

    factors: tuple[Index, ...]  # the state of each
    time: Index  # steps since reset


class Transition(NamedTuple):
    """What a step of a world gives: six values, in Gymnasium's order but for the state."""

    observation: tuple[Index, ...]  # the outcome of each modality
    state: WorldState
    reward: Float[Array, ""]
    terminated: Bool[Array, ""] | bool  # the task is over; False itself where it never is
    truncated: Bool[Array, ""] | bool  # the time is
    info: dict[str, Array]


class Same(eqx.Module):
    """What is as what it hangs on is."""

    def __call__(self, condition: tuple[Index, ...], _) -> Index:
        """The condition."""
        return condition[0]


class Lookup(eqx.Module):
    """What follows with certainty."""

    index: Int[Array, "..."]

    def __call__(self, condition: tuple[Index, ...], _) -> Index:
        """The one outcome under a condition."""
        return self.index.at[condition].get(mode="promise_in_bounds")


class Draw(eqx.Module):
    """What follows by chance."""

    cumulative: Float[Array, "... outcomes"]

    def __call__(self, condition: tuple[Index, ...], uniform: Float[Array, ""]) -> Index:
        """The outcome whose interval of the cumulative distribution holds `uniform` in [0, 1).

        An outcome of probability zero has an empty interval, and so never comes.
        """
        cumulative = self.cumulative.at[condition].get(mode="promise_in_bounds")
        return jnp.sum(cumulative[:-1] <= uniform, dtype=jnp.int32)


Sampler = Same | Lookup | Draw


def _sampler(array: Table) -> Sampler:
    """How to draw from the columns of a table, outcomes first."""
    n = len(array)
    if (
        array.shape[:2] == (n, n)
        and array.size == n * n
        and (array.reshape(n, n) == np.eye(n)).all()
    ):
        return Same()
    if (array.max(axis=0) == 1).all():
        return Lookup(jnp.asarray(array.argmax(axis=0).astype(np.int32)))
    cumulative = np.cumsum(array, axis=0)
    last = n - 1 - (array[::-1] > 0).argmax(axis=0)  # that can come: its interval ends at 1
    position = np.arange(n).reshape(-1, *[1] * last.ndim)
    return Draw(jnp.asarray(np.moveaxis(np.where(position >= last, 1.0, cumulative), 0, -1)))


class World(eqx.Module):
    """A process with rewards and an end, as pure functions.

    An action has one whole number per state factor, 0 where there is nothing to choose. What is
    certain is looked up, without a random number.

    Attributes:
        pomdp: its arrays; an agent may believe others.
        rewards: of the outcomes of each modality that has any; a step's reward is their sum.
        terminal: which outcomes end the task, of each modality that has any that do.
        horizon: steps until it is cut short; None: never.
        likelihood: how the outcome of each modality comes about.
        transition: how the next state of each factor does.
        prior: how its first state does.
    """

    pomdp: POMDP
    rewards: dict[int, Float[Array, " outcomes"]]
    terminal: dict[int, Bool[Array, " outcomes"]]
    horizon: int | None = eqx.field(static=True)
    likelihood: tuple[Sampler, ...]
    transition: tuple[Sampler, ...]
    prior: tuple[Sampler, ...]

    def __init__(
        self,
        pomdp: POMDP,
        rewards: Mapping[int, Sequence[float]],
        terminal: Mapping[int, Sequence[bool]] | None = None,
        horizon: int | None = None,
    ):
        self.pomdp, self.horizon = pomdp, horizon
        tables = lambda given, kind: {m: jnp.asarray(t, kind) for m, t in given.items()}
        self.rewards, self.terminal = tables(rewards, float), tables(terminal or {}, bool)
        samplers = lambda arrays: tuple(map(_sampler, arrays))
        self.likelihood, self.transition, self.prior = map(samplers, (pomdp.A, pomdp.B, pomdp.D))

    def __check_init__(self):
        for name in ("rewards", "terminal"):
            for m, table in getattr(self, name).items():
                if not 0 <= m < len(self.pomdp.A) or table.shape != (self.pomdp.outcomes[m],):
                    told = f"expected one entry for each of {self.pomdp.outcomes} outcomes"
                    raise ValueError(f"{name}[{m}]: {told}, found shape {table.shape}")
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"horizon must be at least one step, got {self.horizon}")

    def reset(self, key: PRNGKeyArray) -> tuple[tuple[Index, ...], WorldState]:
        """A first observation, and the state it comes from."""
        uniforms = self._uniforms((*self.prior, *self.likelihood), key)
        factors = tuple(draw((), next(uniforms)) for draw in self.prior)
        return self._observe(factors, uniforms), WorldState(factors, jnp.zeros((), jnp.int32))

    def start(
        self, factors: tuple[Index, ...], key: PRNGKeyArray
    ) -> tuple[tuple[Index, ...], WorldState]:
        """A first observation from given states of the factors."""
        uniforms = self._uniforms(self.likelihood, key)
        return self._observe(factors, uniforms), WorldState(factors, jnp.zeros((), jnp.int32))

    def step(
        self, state: WorldState, action: Int[Array, " factors"], *, key: PRNGKeyArray
    ) -> Transition:
        """Act, then observe.

        Args:
            state: where the world is.
            action: one a factor, each in [0, pomdp.actions).
            key: of what happens by chance.
        """
        uniforms = self._uniforms((*self.transition, *self.likelihood), key)
        before = lambda needs: tuple(state.factors[f] for f in needs)
        each = zip(self.transition, self.pomdp.B_dependencies, action, strict=True)
        factors = tuple(draw((*before(n), u), next(uniforms)) for draw, n, u in each)
        observation = self._observe(factors, uniforms)
        state = WorldState(factors, state.time + 1)
        found = lambda tables: [table[observation[m]] for m, table in tables.items()]
        reward = sum(found(self.rewards), start=jnp.zeros(()))
        terminated = reduce(jnp.logical_or, found(self.terminal)) if self.terminal else False
        truncated = state.time >= self.horizon if self.horizon else False
        return Transition(observation, state, reward, terminated, truncated, {})

    def _observe(self, factors, uniforms) -> tuple[Index, ...]:
        now = lambda needs: tuple(factors[f] for f in needs)
        each = zip(self.likelihood, self.pomdp.A_dependencies, strict=True)
        return tuple(draw(now(needs), next(uniforms)) for draw, needs in each)

    def _uniforms(self, samplers: tuple[Sampler, ...], key: PRNGKeyArray):
        """One number in [0, 1) for each sampler in turn that needs one, drawn together."""
        needed = [isinstance(sampler, Draw) for sampler in samplers]
        drawn = iter(jax.random.uniform(key, (sum(needed),)) if any(needed) else ())
        return iter([next(drawn) if need else None for need in needed])
