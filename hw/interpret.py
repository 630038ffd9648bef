"""Programs run by the text of NIR; every choice that the text leaves open is the caller's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import hw.dense as dense
import hw.operators as op
from hw.program import Program

Value = Float[Array, "..."]


def forward_euler(x: Value, limit: Value, tau: Value, dt: float) -> Value:
    """X + dt / tau (limit - x): one Euler step of tau x' = limit - x."""
    return x + dt / tau * (limit - x)


def exponential(x: Value, limit: Value, tau: Value, dt: float) -> Value:
    """Limit + (x - limit) exp(-dt / tau): exact while the limit stands still."""
    return limit + (x - limit) * jnp.exp(-dt / tau)


def to_reset(v: Value, v_threshold: Value, v_reset: Value) -> Value:
    """v_reset: what NIR defines."""
    return jnp.broadcast_to(v_reset, v.shape)


def by_subtraction(v: Value, v_threshold: Value, v_reset: Value) -> Value:
    """V less the way from v_reset to v_threshold, so that what exceeded the threshold is kept."""
    return v - (v_threshold - v_reset)


def as_current(x: Value, dt: float) -> Value:
    """The input holds its value for the whole step."""
    return x


def as_impulse(x: Value, dt: float) -> Value:
    """The input is an impulse whose area is its value: x / dt on average over the step."""
    return x / dt


@dataclass(frozen=True)
class Semantics:
    """What NIR leaves open.

    Attributes:
        dt: duration of a step, in s.
        scheme: integrates tau x' = limit - x over a step; `forward_euler` or `exponential`.
        reset: potential after a spike; `to_reset` or `by_subtraction`.
        input_kind: what an input of a neuron means; `as_current` or `as_impulse`.
    """

    dt: float
    scheme: Callable[[Value, Value, Value, float], Value] = forward_euler
    reset: Callable[[Value, Value, Value], Value] = to_reset
    input_kind: Callable[[Value, float], Value] = as_current

    def __post_init__(self):
        if not (np.isfinite(self.dt) and self.dt > 0):
            raise ValueError(f"dt must be positive seconds, got {self.dt}")


class RunState(NamedTuple):
    """What a program carries: potentials, currents and delay lines, and the outputs heard late."""

    memory: dict[str, Any]
    last: dict[str, Value]


class Interpreter(eqx.Module):
    """A program that can be stepped; computes in the default float of JAX.

    Attributes:
        program: what to run.
        semantics: how to read it.
    """

    program: Program = eqx.field(static=True)
    semantics: Semantics = eqx.field(static=True)

    def init(self) -> RunState:
        """At rest: potentials at v_leak or zero, no current, nothing on the way."""
        flat, zero = self.program.flat, lambda name: jnp.zeros(self.program.shapes[name])
        memory = {}
        for name, node in flat.nodes.items():
            if isinstance(node, op.Delay):
                longest = int(_steps(node, self.semantics.dt).max(initial=0))
                memory[name] = jnp.zeros((longest, *node.delay.shape))
            elif isinstance(node, op.CubaLI):
                memory[name] = jnp.asarray(node.v_leak) + zero(name), zero(name)
            elif isinstance(node, op.LI):
                memory[name] = jnp.asarray(node.v_leak) + zero(name)
            elif isinstance(node, op.I):
                memory[name] = zero(name)
        return RunState(memory, {a: zero(a) for a, _ in flat.late})

    def step(
        self, state: RunState, inputs: Mapping[str, Value]
    ) -> tuple[RunState, dict[str, Value]]:
        """Advance one step.

        Args:
            state: after the step before.
            inputs: by name of the Inputs.

        Returns: the new state, and the outputs of all operators by flat name.
        """
        flat, memory, value = self.program.flat, dict(state.memory), {}
        for name in flat.order:
            node = flat.nodes[name]
            heard = [
                state.last[a] if (a, name) in flat.late else value[a] for a in flat.sources(name)
            ]
            x = sum(heard[1:], heard[0]) if heard else jnp.asarray(inputs[name]) * 1.0
            if name in memory:
                memory[name], value[name] = _evolve(node, memory[name], x, self.semantics)
            else:
                value[name] = _apply(node, x)
        return RunState(memory, {a: value[a] for a in state.last}), value


def choices(program: Program, semantics: Semantics) -> tuple[str, ...]:
    """Every choice of meaning that running this program makes, in sentences."""
    nodes, flat = program.flat.nodes, program.flat
    dt = semantics.dt
    said = [f"dt = {dt:g} s, which the file does not hold"]
    if any(isinstance(n, op.LI | op.CubaLI) for n in nodes.values()):
        said.append(f"leaks are integrated by {semantics.scheme.__name__}")
    if cuba := sorted(k for k, n in nodes.items() if isinstance(n, op.CubaLI)):
        said.append(f"current first, then the potential by the new current: {', '.join(cuba)}")
    if any(isinstance(n, op.I) for n in nodes.values()):
        said.append(f"inputs of neurons are read {semantics.input_kind.__name__}")
    if any(isinstance(n, op.Spiking) for n in nodes.values()):
        said.append(f"after v > v_threshold, in the same step: {semantics.reset.__name__}")
    said += [f"heard one step late, in a cycle: {a} by {b}" for a, b in sorted(flat.late)]
    for name, node in nodes.items():
        if isinstance(node, op.Delay):
            off = np.abs(_steps(node, dt) * dt - node.delay).max(initial=0)
            said.append(f"{name}: delays rounded to whole steps, by up to {off:g} s")
    return tuple(said)


def _steps(node: op.Delay, dt: float) -> np.ndarray:
    return np.round(node.delay / dt).astype(int)


def _evolve(node: op.Operator, memory: Any, x: Value, how: Semantics) -> tuple[Any, Value]:
    """New memory and output of what remembers."""
    if isinstance(node, op.Delay):
        line = jnp.concatenate([x[None], memory])  # now, one step ago, ...
        steps = jnp.asarray(_steps(node, how.dt))
        return line[: len(memory)], jnp.take_along_axis(line, steps[None], 0)[0]
    x, r, dt = how.input_kind(x, how.dt), jnp.asarray(node.r), how.dt
    if isinstance(node, op.CubaLI):
        v, i = memory
        i = how.scheme(i, node.w_in * x, jnp.asarray(node.tau_syn), dt)
        v = how.scheme(v, node.v_leak + r * i, jnp.asarray(node.tau_mem), dt)
    elif isinstance(node, op.LI):
        v = how.scheme(memory, node.v_leak + r * x, jnp.asarray(node.tau), dt)
    else:
        v = memory + dt * r * x
    out = v
    if isinstance(node, op.Spiking):
        v_threshold, v_reset = jnp.asarray(node.v_threshold), jnp.asarray(node.v_reset)
        out = (v > v_threshold).astype(v.dtype)
        v = jnp.where(out > 0, how.reset(v, v_threshold, v_reset), v)
    return ((v, i) if isinstance(node, op.CubaLI) else v), out


def _apply(node: op.Operator, x: Value) -> Value:
    """Output of what does not remember."""
    match node:
        case op.Input():
            node.expect(x.shape, node.shape)
            return x
        case op.Affine():
            return jnp.asarray(node.weight) @ x + node.bias
        case op.Linear():
            return jnp.asarray(node.weight) @ x
        case op.Scale():
            return x * node.scale
        case op.Convolution():
            return _convolve(node, x)
        case op.SumPool2d():
            area = np.prod(node.kernel_size) if isinstance(node, op.AvgPool2d) else 1
            window, stride = (1, *node.kernel_size), (1, *node.stride)
            padding = ((0, 0), *((p, p) for p in node.padding))
            return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, stride, padding) / area
        case op.Flatten():
            return x.reshape(node.output_shape(x.shape))
        case op.Threshold():
            return (x > jnp.asarray(node.threshold)).astype(x.dtype)
        case dense.MatMul():
            return x @ jnp.asarray(node.weight)
        case dense.Attention():
            return _attend(node, x)
    raise TypeError(f"no rule for {type(node).__name__}")


def _convolve(node: op.Convolution, x: Value) -> Value:
    y = jax.lax.conv_general_dilated(
        x[None],
        jnp.asarray(node.weight, x.dtype),
        node.stride,
        [(p, p) for p in node.padding],
        rhs_dilation=node.dilation,
        feature_group_count=node.groups,
    )[0]
    return y + node.bias.reshape(-1, *(1,) * node.axes)


def _attend(node: dense.Attention, x: Value) -> Value:
    split = lambda w: (x @ jnp.asarray(w)).reshape(len(x), node.heads, -1)
    q, k, v = split(node.query), split(node.key), split(node.value)
    score = jnp.einsum("thd,shd->hts", q, k) / jnp.sqrt(q.shape[-1])
    mixed = jnp.einsum("hts,shd->thd", jax.nn.softmax(score, axis=-1), v)
    return mixed.reshape(x.shape) @ jnp.asarray(node.out)
