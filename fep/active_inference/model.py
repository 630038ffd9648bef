"""Discrete generative models: likelihoods A, transitions B, preferences C, priors D, habits E."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fep.information import log

Arrays = tuple[Float[Array, "..."], ...]
Indices = tuple[tuple[int, ...], ...]

# columns may miss 1 by the rounding of float32 sums over a few thousand entries
TOLERANCE = 1e-4


class Counts(NamedTuple):
    """Dirichlet concentrations of a model's parameters; those left None are known, not learned."""

    a: Any = None  # one array a modality, as A
    b: Any = None  # one array a factor, as B
    c: Any = None  # one array a modality, (outcomes,)
    d: Any = None  # one array a factor, as D
    e: Any = None  # one array, as E


KNOWN = Counts()  # nothing is learned


@dataclass(frozen=True)
class Dependencies:
    """Which state factors and controls each array of a model hangs on.

    Attributes:
        A: for each modality, the factors of A[g]'s axes after the first.
        B: for each factor, the factors of B[f]'s axes after the first.
        controls: for each factor, the controls of B[f]'s last axes.
    """

    A: Indices
    B: Indices
    controls: Indices


class Model(eqx.Module):
    r"""A partially observed Markov decision process with factors, modalities and controls.

    $p(o, s \mid \pi) = \prod_f D_f \prod_t \prod_g A_g(o_t^g \mid s_t)
    \prod_f B_f(s_{t+1}^f \mid s_t, u_t)$, with outcomes preferred by
    $\ln p(o^g \mid C) = \ln \mathrm{softmax}(C_g)$ and plans by habit $E$.

    Attributes:
        A: A[g], shape (outcomes of g, states of each factor in dependencies.A[g]).
        B: B[f], shape (states of f, states of each factor in dependencies.B[f], options of each
            control in dependencies.controls[f]).
        C: C[g], log-preferences in nats before normalisation, shape (outcomes,) or
            (times, outcomes); the last time holds ever after.
        D: D[f], shape (states of f,).
        E: prior over the first k actions, shape (actions ** k,), first action slowest.
        ambiguity: $H[p(o^g \mid s)]$ of each modality, nats, axes as A[g]'s but the first.
        utility: $\sum_o p(o^g \mid s) \ln p(o^g \mid C)$ of each, nats, axes likewise, after
            that of times if C[g] has one. These two are found once, and again by `replace`.
        transitions: B with the next state last, as beliefs are multiplied by it.
        counts: Dirichlet concentrations of what is learned; their means are the arrays above.
        dependencies: which factors and controls each array hangs on.
        reveals: for each modality, the factors whose states it shows one to one, without noise;
            () where it does not. Found once; the epistemic value is cheaper for it, and the same.
        fixed: the factors that never change. Found once; predictions leave them out.

    Source: Da Costa et al. (2020), J. Math. Psychol. 99, 102447, sec. 3.
    """

    A: Arrays
    transitions: Arrays
    C: Arrays
    D: Arrays
    E: Float[Array, " plans"]
    ambiguity: Arrays
    utility: Arrays
    counts: Counts
    dependencies: Dependencies = eqx.field(static=True)
    reveals: Indices = eqx.field(static=True)
    fixed: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        A: Sequence | None = None,
        B: Sequence | None = None,
        C: Sequence | None = None,
        D: Sequence | None = None,
        E: Any = None,
        *,
        dependencies: Dependencies | None = None,
        counts: Counts = KNOWN,
    ):
        """Check everything once, with NumPy.

        Args:
            A: likelihoods; left out when `counts.a` is given, whose mean then is A.
            B: transitions; as A, with `counts.b`. Without control axes, nothing steers a factor.
            C: log-preferences; none by default.
            D: initial states; uniform by default, or the mean of `counts.d`.
            E: habits over the first k actions; uniform over one by default.
            dependencies: by default each modality hangs on all factors, each factor on itself and
                on a control of its own.
            counts: Dirichlet concentrations of what is learned.

        Raises:
            ValueError: names the array, the place in it, what was expected and what came.
        """
        given = {name: _numbers(name, value) for name, value in counts._asdict().items()}
        A = _mean("A", A, given["a"], required=True)
        B = _mean("B", B, given["b"], required=True)
        wired = dependencies or _usual(A, B)
        B = _with_controls(B, wired)
        if given["b"] is not None:
            given["b"] = _with_controls(given["b"], wired)
        states, options = _sizes(A, B, wired)
        outcomes = [a.shape[0] for a in A]
        actions = math.prod(options)
        D = _mean("D", D, given["d"])
        D = [np.full(n, 1 / n) for n in states] if D is None else D
        C = given["c"] if C is None and given["c"] is not None else C
        if given["c"] is not None:
            C = [np.log(c / c.sum()) for c in given["c"]]
        C = [np.zeros(n) for n in outcomes] if C is None else _numbers("C", C)
        (E,) = _mean("E", None if E is None else [E], given["e"]) or [np.full(actions, 1 / actions)]
        _check_preferences(C, outcomes)
        _check_shapes("D", D, [(n,) for n in states])
        for name, arrays in (("A", A), ("B", B), ("D", D), ("E", [E])):
            for i, array in enumerate(arrays):
                _check_columns(name if name == "E" else f"{name}[{i}]", array)
        power = round(math.log(max(E.size, 1), actions)) if actions > 1 else 0
        if E.ndim != 1 or E.size != actions**power:
            raise ValueError(f"E: expected a power of {actions} actions, got shape {E.shape}")
        for name, arrays in zip("abcd", (A, B, C, D), strict=True):
            if given[name] is not None:
                _check_shapes(f"counts.{name}", given[name], [x.shape for x in arrays])
        last = [np.moveaxis(b, 0, -1) for b in B]
        ambiguity = [-np.sum(a * np.log(np.where(a > 0, a, 1)), axis=0) for a in A]
        utility = [np.tensordot(_log_softmax(c), a, 1) for c, a in zip(C, A, strict=True)]
        self.A, self.transitions, self.C, self.D, self.ambiguity, self.utility = (
            tuple(jnp.asarray(x, float) for x in arrays)
            for arrays in (A, last, C, D, ambiguity, utility)
        )
        self.E = jnp.asarray(E, float)
        kept = {k: v and tuple(jnp.asarray(x, float) for x in v) for k, v in given.items()}
        self.counts = Counts(**kept)._replace(e=kept["e"] and kept["e"][0])
        self.dependencies = wired
        learned = counts.a is not None
        self.reveals = tuple(
            () if learned else _shown(a, factors) for a, factors in zip(A, wired.A, strict=True)
        )
        self.fixed = tuple(
            f
            for f, (b, factors) in enumerate(zip(B, wired.B, strict=True))
            if given["b"] is None
            and factors == (f,)
            and b.size == len(b) ** 2
            and np.array_equal(b.reshape(len(b), -1), np.eye(len(b)))
        )

    @property
    def B(self) -> Arrays:
        """Transitions, the next state first."""
        return tuple(jnp.moveaxis(b, -1, 0) for b in self.transitions)

    @property
    def num_states(self) -> tuple[int, ...]:
        """States of each factor."""
        return tuple(d.shape[0] for d in self.D)

    @property
    def num_outcomes(self) -> tuple[int, ...]:
        """Outcomes of each modality."""
        return tuple(a.shape[0] for a in self.A)

    @property
    def num_controls(self) -> tuple[int, ...]:
        """Options of each control."""
        options = {}
        for b, controls in zip(self.transitions, self.dependencies.controls, strict=True):
            options |= dict(zip(controls, b.shape[-1 - len(controls) : -1], strict=True))
        return tuple(options[c] for c in sorted(options))

    @property
    def num_actions(self) -> int:
        """Joint actions: one option of every control."""
        return math.prod(self.num_controls)

    def options(self) -> np.ndarray:
        """What each joint action is, shape (actions, controls); the last control runs fastest."""
        grid = np.unravel_index(np.arange(self.num_actions), self.num_controls)
        return np.stack(grid, axis=1).astype(np.int32)

    def replace(self, **arrays) -> "Model":
        """The same model with some of A, B, C, D, E or counts replaced, unchecked, under jit too.

        A new A is not searched for modalities that reveal states, nor a new B for fixed factors.
        """
        if "A" in arrays:
            arrays["reveals"] = tuple(() for _ in self.A)
            arrays["ambiguity"] = tuple(-jnp.sum(a * log(a), axis=0) for a in arrays["A"])
        if "A" in arrays or "C" in arrays:
            each = zip(arrays.get("C", self.C), arrays.get("A", self.A), strict=True)
            arrays["utility"] = tuple(jnp.tensordot(jax.nn.log_softmax(c), a, 1) for c, a in each)
        if "B" in arrays:
            arrays["transitions"] = tuple(jnp.moveaxis(b, 0, -1) for b in arrays["B"])
            arrays["fixed"] = ()
        model = object.__new__(Model)
        for field in fields(self):
            value = arrays.get(field.name, getattr(self, field.name))
            object.__setattr__(model, field.name, value)
        return model

    def with_counts(self, counts: Counts) -> "Model":
        """The model that `counts` expect: each learned array is the mean of its Dirichlet."""
        arrays = {"counts": counts}
        if counts.a is not None:
            arrays["A"] = tuple(normalise(a) for a in counts.a)
        if counts.b is not None:
            arrays["B"] = tuple(normalise(b) for b in counts.b)
        if counts.c is not None:
            arrays["C"] = tuple(jnp.log(normalise(c)) for c in counts.c)
        if counts.d is not None:
            arrays["D"] = tuple(normalise(d) for d in counts.d)
        if counts.e is not None:
            arrays["E"] = normalise(counts.e)
        return self.replace(**arrays)


def normalise(counts: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """Columns (axis 0) scaled to sum to one; an empty column becomes uniform."""
    total = jnp.sum(counts, axis=0, keepdims=True)
    return jnp.where(total > 0, counts / jnp.where(total > 0, total, 1), 1 / counts.shape[0])


def _log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _numbers(name, values):
    if values is None:
        return None
    values = [values] if name == "e" else values
    return [np.asarray(value, float) for value in values]


def _mean(name, values, counts, *, required=False):
    """The array given, or the mean of its counts; both would be two models in one."""
    if values is not None and counts is not None:
        raise ValueError(f"{name}: expected either {name} or counts.{name.lower()}, got both")
    if counts is not None:
        for i, c in enumerate(counts):
            if not (c >= 0).all() or not (c.sum(axis=0) > 0).all():
                raise ValueError(
                    f"counts.{name.lower()}[{i}]: expected columns of non-negative counts with a "
                    f"positive sum, got a smallest count {c.min():g} and column sum "
                    f"{c.sum(axis=0).min():g}"
                )
        return [c / c.sum(axis=0) for c in counts]
    if required and values is None:
        raise ValueError(f"{name}: expected one array each, or counts.{name.lower()}, got neither")
    return _numbers(name, values)


def _usual(A, B):
    factors = tuple(range(len(B)))
    own = tuple((f,) for f in factors)
    return Dependencies(tuple(factors for _ in A), own, own)


def _with_controls(arrays, wired):
    """An array without control axes steers nothing: its one control has one option."""
    out = []
    for f, array in enumerate(arrays):
        bare = f < len(wired.B) and array.ndim == 1 + len(wired.B[f])
        out.append(array[..., None] if bare and len(wired.controls[f]) == 1 else array)
    return out


def _sizes(A, B, wired):
    """States of each factor and options of each control, once A and B agree on them."""
    if len(wired.A) != len(A) or len(wired.B) != len(B) or len(wired.controls) != len(B):
        raise ValueError(
            f"dependencies: expected {len(A)} of A, {len(B)} of B and of controls, got "
            f"{len(wired.A)}, {len(wired.B)} and {len(wired.controls)}"
        )
    states, options = [b.shape[0] for b in B], {}
    for name, index in (("A", wired.A), ("B", wired.B)):
        for i, factors in enumerate(index):
            if len(set(factors)) < len(factors) or not set(factors) <= set(range(len(B))):
                raise ValueError(
                    f"dependencies.{name}[{i}]: expected different factors below {len(B)}, "
                    f"got {factors}"
                )
    for g, (a, factors) in enumerate(zip(A, wired.A, strict=True)):
        _check_shapes("A", {g: a}, {g: (a.shape[0], *(states[f] for f in factors))})
    for f, (b, factors) in enumerate(zip(B, wired.B, strict=True)):
        controls = wired.controls[f]
        shape = (states[f], *(states[i] for i in factors))
        if b.ndim != len(shape) + len(controls) or b.shape[: len(shape)] != shape:
            raise ValueError(
                f"B[{f}]: expected shape {shape} and {len(controls)} axes of controls, "
                f"got {b.shape}"
            )
        for c, n in zip(controls, b.shape[len(shape) :], strict=True):
            if options.setdefault(c, n) != n:
                raise ValueError(f"B[{f}]: expected {options[c]} options of control {c}, got {n}")
    if sorted(options) != list(range(len(options))):
        raise ValueError(f"dependencies.controls: expected 0, 1, ... all used, got {options}")
    return states, [options[c] for c in sorted(options)]


def _check_shapes(name, arrays, shapes):
    if len(arrays) != len(shapes):
        raise ValueError(f"{name}: expected {len(shapes)} arrays, got {len(arrays)}")
    keys = arrays if isinstance(arrays, dict) else range(len(arrays))
    for i in keys:
        if arrays[i].shape != shapes[i]:
            raise ValueError(f"{name}[{i}]: expected shape {shapes[i]}, got {arrays[i].shape}")


def _check_preferences(C, outcomes):
    if len(C) != len(outcomes):
        raise ValueError(f"C: expected {len(outcomes)} arrays, got {len(C)}")
    for g, (c, n) in enumerate(zip(C, outcomes, strict=True)):
        if c.ndim not in (1, 2) or c.shape[-1] != n:
            raise ValueError(f"C[{g}]: expected shape ({n},) or (times, {n}), got {c.shape}")
        if not np.isfinite(c).all():
            raise ValueError(f"C[{g}]: expected finite log-preferences, got {c}")


def _check_columns(name, array):
    """Every column (axis 0) is a distribution; the first that is not is named with its sum."""
    with np.errstate(invalid="ignore"):
        bad = ~(array >= 0)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}{list(at)}: expected a probability, got {array[at]}")
    sums = array.sum(axis=0)
    wrong = ~(np.abs(sums - 1) <= TOLERANCE)
    if wrong.any():
        at = np.argwhere(wrong)[0] if array.ndim > 1 else ()
        place = ", ".join([":", *(str(i) for i in at)])
        raise ValueError(
            f"{name}[{place}]: expected a column that sums to 1, got {sums[tuple(at)]}"
        )


def _shown(a, factors):
    """The factors that the outcomes of one modality tell for sure; () if some stay open."""
    matters = [np.ptp(a, axis=i + 1).any() for i in range(len(factors))]
    kept = a[(slice(None), *(slice(None) if m else 0 for m in matters))]
    flat = kept.reshape(a.shape[0], -1)
    one_to_one = ((flat == 0) | (flat == 1)).all() and (flat.sum(axis=1) <= 1).all()
    return tuple(f for f, m in zip(factors, matters, strict=True) if m and one_to_one)
