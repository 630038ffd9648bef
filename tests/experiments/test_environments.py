"""A world draws what its arrays say, and says when it is over."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.environments.t_maze import CUE, CUE_RIGHT, LEFT, RIGHT, START, t_maze
from experiments.environments.world import POMDP, Draw, Lookup, World, WorldState

step = eqx.filter_jit(lambda world, state, action, key: world.step(state, action, key=key))


def at(*factors):
    """A state, as arrays: under jit, Python's numbers would be traced anew."""
    return WorldState(tuple(map(jnp.array, factors)), jnp.array(0))


def many(world, state, action, number=20_000):
    """Observations (number, modalities) and factors (number, factors) after one action."""
    keys = jax.random.split(jax.random.key(0), number)
    moved = eqx.filter_jit(
        lambda world, keys: jax.vmap(lambda k: world.step(state, jnp.array(action), key=k))(keys)
    )(world, keys)
    return np.stack(moved.observation, axis=1), np.stack(moved.state.factors, axis=1)


def crooked(**more):
    """A world of two factors and two modalities with nothing certain, drawn once."""
    draw = np.random.default_rng(0).dirichlet
    columns = lambda n, *shape: np.moveaxis(draw(np.ones(n), shape), -1, 0)
    pomdp = POMDP(
        A=(columns(3, 2), columns(4, 3, 2)),
        B=(columns(2, 3, 2, 2), columns(3, 3, 1)),
        C=(np.zeros(3), np.zeros(4)),
        D=(columns(2), columns(3)),
        A_dependencies=((0,), (1, 0)),
        B_dependencies=((1, 0), (1,)),
    )
    return World(pomdp, rewards={1: (0.0, 1.0, 2.0, 3.0)}, **more)


def test_frequencies_are_the_arrays():
    world, number = crooked(), 20_000
    observations, factors = many(world, at(1, 2), (1, 0), number)
    A, B = world.pomdp.A, world.pomdp.B
    next_0, next_1 = B[0][:, 2, 1, 1], B[1][:, 2, 0]
    joint = next_0[:, None] * next_1
    wanted = {
        "factor 0": (factors[:, 0], next_0),
        "factor 1": (factors[:, 1], next_1),
        "modality 0": (observations[:, 0], A[0] @ next_0),
        "modality 1": (observations[:, 1], np.einsum("oji,ij->o", A[1], joint)),
    }
    for name, (drawn, probabilities) in wanted.items():
        found = np.bincount(drawn, minlength=probabilities.size) / number
        error = np.sqrt(probabilities * (1 - probabilities) / number)
        assert (abs(found - probabilities) < 4.5 * error).all(), name  # 1 in 1e5 by chance
    pairs = np.bincount(factors @ [3, 1], minlength=6).reshape(2, 3) / number
    assert abs(pairs - joint).max() < 4.5 * 0.5 / number**0.5  # factors move independently


def test_what_cannot_happen_never_does():
    draw = Draw(jnp.array([0.0, 0.25, 0.25, 1.0, 1.0]))  # outcomes 1 and 3 alone
    uniforms = jnp.array([0.0, 0.1, 0.25, 0.5, 1 - 2**-24])  # the last is the largest float32
    assert [int(draw((), u)) for u in uniforms] == [1, 1, 3, 3, 3]


def test_rounded_sums_open_no_door():
    third = np.array([1 / 3, 1 / 3, 1 / 3, 0.0])[:, None]  # sums to less than 1
    pomdp = POMDP(A=(third,), B=(np.ones((1, 1, 1)),), C=(np.zeros(4),), D=(np.ones(1),))
    (sampler,) = World(pomdp, rewards={}).likelihood
    np.testing.assert_array_equal(sampler.cumulative[0, 2:], 1.0)


def test_what_stays_or_is_seen_as_it_is_needs_no_table():
    mirrored, stays = np.eye(2)[::-1], np.eye(2)[..., None]
    pomdp = POMDP((np.eye(2), mirrored), (stays,), (np.zeros(2),) * 2, (np.eye(2)[0],))
    world = World(pomdp, rewards={})
    tabled = [isinstance(s, Lookup) for s in (*world.likelihood, *world.transition, *world.prior)]
    assert tabled == [False, True, False, True]
    moved = step(world, at(1), jnp.array([0]), jax.random.key(0))
    assert (moved.state.factors, moved.observation) == ((1,), (1, 0))


def test_reward_is_summed_end_and_cut_are_told():
    world = crooked(terminal={0: (False, False, True)}, horizon=1)
    seen = set()
    for i in range(12):
        moved = step(world, at(0, 0), jnp.array([0, 0]), jax.random.key(i))
        assert moved.reward == moved.observation[1]
        assert moved.terminated == (moved.observation[0] == 2)
        assert moved.truncated
        seen.add(bool(moved.terminated))
    assert seen == {True, False}
    assert not step(crooked(), at(0, 0), jnp.array([0, 0]), jax.random.key(0)).truncated


@pytest.mark.parametrize(
    "change, words",
    [
        ({"A": (np.array([[0.5, 0.5], [0.5, 0.4]]),)}, r"A\[0\]: column \(1,\).*sum 0.9"),
        ({"A": (np.array([[1.5, 0.5], [-0.5, 0.5]]),)}, r"A\[0\]: column \(0,\)"),
        ({"B": (np.ones((2, 3, 1)) / 2,)}, r"B\[0\]: expected \[2\] states"),
        ({"B": (np.ones((3, 2, 1)) / 3,)}, r"B\[0\]: expected 2 next states, found 3"),
        ({"C": (np.zeros(3),)}, r"C\[0\]"),
        ({"D": (np.array([0.5, np.nan]),)}, r"D\[0\]"),
    ],
)
def test_arrays_that_are_no_process_are_refused_by_name(change, words):
    good = {
        "A": (np.eye(2),),
        "B": (np.eye(2)[..., None],),
        "C": (np.zeros(2),),
        "D": (np.eye(2)[0],),
    }
    POMDP(**good)
    with pytest.raises(ValueError, match=words):
        POMDP(**{**good, **change})


def test_tables_that_do_not_fit_are_refused():
    pomdp = t_maze().pomdp
    with pytest.raises(ValueError, match=r"rewards\[1\]: expected one entry"):
        World(pomdp, rewards={1: (0.0, 1.0)})
    with pytest.raises(ValueError, match=r"terminal\[2\]"):
        World(pomdp, rewards={}, terminal={2: (True,)})
    with pytest.raises(ValueError, match="horizon"):
        World(pomdp, rewards={}, horizon=0)


def test_the_cue_of_the_t_maze_tells_where_the_reward_is():
    world = t_maze(reward_probability=1.0)
    cue = step(world, at(START, 1), jnp.array([CUE, 0]), jax.random.key(0))
    assert cue.observation == (CUE_RIGHT, 0)
    arm = step(world, cue.state, jnp.array([RIGHT, 0]), jax.random.key(1))
    assert arm.observation == (RIGHT, 1)
    assert (float(arm.reward), bool(cue.truncated), bool(arm.truncated)) == (1.0, False, True)
    back = step(world, arm.state, jnp.array([START, 0]), jax.random.key(2))
    assert back.state.factors == (RIGHT, 1)  # arms are absorbing


@pytest.mark.slow
def test_cue_and_arms_of_the_t_maze_are_as_reliable_as_they_are_said_to_be():
    world, number = t_maze(cue_reliability=0.8, reward_probability=0.7), 20_000
    cues, _ = many(world, at(START, 0), (CUE, 0), number)
    arms, _ = many(world, at(START, 0), (LEFT, 0), number)
    error = 4.5 * np.sqrt(0.25 / number)
    assert (cues[:, 0] == 3).mean() == pytest.approx(0.8, abs=error)
    assert (arms[:, 1] == 1).mean() == pytest.approx(0.7, abs=error)


def test_a_probability_above_one_is_refused_by_the_t_maze():
    with pytest.raises(ValueError, match="cue_reliability"):
        t_maze(cue_reliability=1.1)
