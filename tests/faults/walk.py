"""A random walk: the lightest experiment that carries a key and checkpoints."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Config:
    """Walkers on a line.

    Attributes:
        seed: of their steps.
        length: of the walk, in chunks.
        rate: of the steps.
        pause_s: to wait in every chunk.
    """

    seed: int = 0
    length: int = 5
    rate: float = 0.5
    pause_s: float = 0.0

    def __post_init__(self):
        if self.length < 1:
            raise ValueError(f"length must be at least 1, got {self.length}")


class State(NamedTuple):
    key: jax.Array
    position: jax.Array


class Result(NamedTuple):
    position: jax.Array
    by_half: dict
    length: int


def init(config):
    return State(jax.random.key(config.seed), jnp.zeros(64))


def chunks(config):
    return config.length


@jax.jit
def _walk(state, rate):
    key, now = jax.random.split(state.key)
    return State(key, state.position + rate * jax.random.normal(now, (64,)))


def step(config, state, chunk):
    time.sleep(config.pause_s)
    state = _walk(state, config.rate)
    return state, {"spread": float(jnp.std(state.position)), "chunk squared": chunk**2}


def result(config, state):
    halves = {"left": state.position[:32], "right": state.position[32:]}
    return Result(state.position, halves, config.length)
