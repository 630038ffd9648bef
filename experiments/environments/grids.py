"""Worlds on a grid: an open grid, a chain of cues, a frozen lake, a maze of several T-junctions."""

from collections.abc import Sequence

import numpy as np

from experiments.environments.world import POMDP, World

Cell = tuple[int, int]  # row from the top, column from the left
UP, RIGHT, DOWN, LEFT, STAY = range(5)
COMPASS = ((-1, 0), (0, 1), (1, 0), (0, -1), (0, 0))  # of the five actions
LAKE_COMPASS = ((0, -1), (1, 0), (0, 1), (-1, 0))  # left, down, right, up: Gymnasium's order
NOTHING, FIRST, SECOND = range(3)  # what a cue of two meanings shows
NEUTRAL, REWARD, LOSS = range(3)  # outcomes of feedback
GOAL, HOLE, ICE = range(3)  # outcomes of the frozen lake's score


def moves(cells: Sequence[Cell], compass: Sequence[Cell] = COMPASS) -> np.ndarray:
    """Next cell of each cell and action, (cells, actions): itself where the way is barred."""
    index = {cell: i for i, cell in enumerate(cells)}
    step = lambda cell, way: index.get((cell[0] + way[0], cell[1] + way[1]), index[cell])
    return np.array([[step(cell, way) for way in compass] for cell in cells])


def one_hot(index: np.ndarray, size: int) -> np.ndarray:
    """Columns of certainty, shape (size, *index.shape)."""
    return np.moveaxis(np.eye(size)[index], -1, 0)


def rectangle(shape: Cell) -> list[Cell]:
    """All cells, row by row."""
    return [(row, column) for row in range(shape[0]) for column in range(shape[1])]


def fixed(states: int) -> np.ndarray:
    """Transitions of a factor that never changes and is never acted on."""
    return np.eye(states)[:, :, None]


def grid_world(
    shape: Cell = (7, 7),
    *,
    start: Cell = (0, 0),
    goal: Cell = (6, 6),
    success: float = 0.9,
    horizon: int | None = None,
) -> World:
    """A grid without walls: one factor and one modality, the cell, which is seen.

    Args:
        shape: rows and columns.
        start: first cell.
        goal: cell that pays 1 and ends the task; preferences rise towards it, by half a nat a step.
        success: probability that a move succeeds; else the cell stays as it is.
        horizon: steps until the task is cut short.
    """
    cells = rectangle(shape)
    stay = np.eye(len(cells))[:, :, None]
    move = success * one_hot(moves(cells), len(cells)) + (1 - success) * stay
    away = [abs(row - goal[0]) + abs(column - goal[1]) for row, column in cells]
    at = lambda cell: np.eye(len(cells))[cells.index(cell)]
    pomdp = POMDP(A=(np.eye(len(cells)),), B=(move,), C=(-0.5 * np.array(away),), D=(at(start),))
    return World(pomdp, rewards={0: at(goal)}, terminal={0: at(goal) > 0}, horizon=horizon)


def cue_chaining(
    shape: Cell = (5, 7),
    *,
    start: Cell = (0, 0),
    first_cue: Cell = (2, 0),
    second_cues: Sequence[Cell] = ((0, 2), (1, 3), (3, 3), (4, 2)),
    arms: tuple[Cell, Cell] = ((1, 5), (3, 5)),
    horizon: int | None = None,
) -> World:
    """A first cue tells which second cue to visit; that one tells which arm is baited.

    Factors: cell, valid second cue, baited arm. Modalities: cell; first cue (nothing, or which
    second cue); second cue (nothing, first arm, second arm); feedback (none, reward, loss).

    Source: Heins et al. (2022), JOSS 7:4098, the cue-chaining example: its layout, with a
        log-preference of 3 for the reward and -6 for the loss. Actions here are up, right, down,
        left, stay.
    """
    cells = rectangle(shape)
    n, cues = len(cells), len(second_cues)
    told = np.zeros((n, cues), int)
    told[cells.index(first_cue)] = 1 + np.arange(cues)
    bait = np.zeros((n, cues, 2), int)
    for i, cell in enumerate(second_cues):
        bait[cells.index(cell), i] = FIRST, SECOND
    feedback = np.zeros((n, 2), int)
    for i, cell in enumerate(arms):
        feedback[cells.index(cell)] = LOSS
        feedback[cells.index(cell), i] = REWARD
    pomdp = POMDP(
        A=(np.eye(n), one_hot(told, cues + 1), one_hot(bait, 3), one_hot(feedback, 3)),
        B=(one_hot(moves(cells), n), fixed(cues), fixed(2)),
        C=(np.zeros(n), np.zeros(cues + 1), np.zeros(3), np.array([0.0, 3.0, -6.0])),
        D=(np.eye(n)[cells.index(start)], np.full(cues, 1 / cues), np.full(2, 0.5)),
        A_dependencies=((0,), (0, 1), (0, 1, 2), (0, 2)),
    )
    return World(pomdp, rewards={3: (0.0, 1.0, -1.0)}, horizon=horizon)


def frozen_lake(
    maps: Sequence[str] = ("SFF/FFG/FHF", "SFF/FFH/FGF"),
    *,
    slip: float = 0.0,
    preference: float = 4.0,
    payment: float = 100.0,
    horizon: int | None = 15,
) -> World:
    """A lake whose goal and holes depend on a context that is not seen; both end the task.

    Factors: cell, context. Modalities: cell; score (goal, hole, neither). Actions are left, down,
    right, up. Cells that are a goal or a hole in any context are not left.

    Args:
        maps: one a context, rows divided by "/": S start, F ice, G goal, H hole.
        slip: probability of sliding at right angles to a move, half to each side.
        preference: log-preference for the goal; its negative for a hole, and for the start.
        payment: reward at the goal.
        horizon: steps until the task is cut short.

    Raises:
        ValueError: if maps differ in shape or in what can be entered.

    Source: Sajid et al. (2021), Neural Comput. 33:674-712, the 3 x 3 lake; with one map and slip
        2/3, Gymnasium's FrozenLake.
    """
    rows = [text.split("/") for text in maps]
    shape = len(rows[0]), len(rows[0][0])
    if any([len(row) for row in lines] != [shape[1]] * shape[0] for lines in rows):
        raise ValueError(f"maps: expected rows of equal length in all of them, got {list(maps)}")
    letters = np.array([list("".join(lines)) for lines in rows])
    ends = np.isin(letters, ("G", "H"))
    if not (ends == ends[0]).all() or not (letters[0] == "S").sum() == 1:
        raise ValueError(f"maps: expected one S, and ends in the same cells, got {list(maps)}")
    n, contexts = shape[0] * shape[1], len(maps)
    goes = one_hot(moves(rectangle(shape), LAKE_COMPASS), n)
    sideways = (np.roll(goes, 1, axis=-1) + np.roll(goes, -1, axis=-1)) / 2
    move = (1 - slip) * goes + slip * sideways
    move[:, ends[0]] = np.eye(n)[:, ends[0], None]
    score = np.select([letters.T == "G", letters.T == "H"], [GOAL, HOLE], ICE)
    where = np.where(letters[0] == "S", -preference, 0.0)
    pomdp = POMDP(
        A=(np.eye(n), one_hot(score, 3)),
        B=(move, fixed(contexts)),
        C=(where, np.array([preference, -preference, 0.0])),
        D=((letters[0] == "S").astype(float), np.full(contexts, 1 / contexts)),
        A_dependencies=((0,), (0, 1)),
    )
    terminal = {1: (True, True, False)}
    return World(pomdp, rewards={1: (payment, 0.0, 0.0)}, terminal=terminal, horizon=horizon)


def generalised_t_maze(
    lines: Sequence[str] = ("A.A", "#.#", "#S#", "#.#", "#a#"),
    *,
    cue_reliability: float = 1.0,
    reward_probability: float = 1.0,
    preference: float = 3.0,
    horizon: int | None = None,
) -> World:
    """A maze of any shape, with any number of baited pairs of arms and a cue for each pair.

    Factors: cell, then the baited arm of each pair. Modalities: cell, then for each pair its cue
    (nothing, first arm, second arm) and its feedback (none, reward, loss), each dependent on the
    cell and its own pair alone. Arms are not left.

    Args:
        lines: "#" wall, "." floor, "S" start, "a" the cue of pair A, "A" its two arms in reading
            order; further pairs are b and B, and so on.
        cue_reliability: probability that a cue shows the baited arm.
        reward_probability: of a reward in a baited arm, and of a loss in the other.
        preference: log-preference for a reward; minus twice that for a loss.
        horizon: steps until the task is cut short.

    Raises:
        ValueError: if there is not one start, or a pair has not one cue and two arms.
    """
    found = {(r, c): letter for r, line in enumerate(lines) for c, letter in enumerate(line)}
    cells = [cell for cell, letter in found.items() if letter != "#"]
    letters = np.array([found[cell] for cell in cells])
    pairs = sorted({letter.lower() for letter in letters if letter not in ".S"})
    for letter, wanted in (("S", 1), *((p, 1) for p in pairs), *((p.upper(), 2) for p in pairs)):
        if (number := int((letters == letter).sum())) != wanted:
            raise ValueError(f"lines: expected {wanted} of {letter!r}, found {number}")
    n = len(cells)
    move = one_hot(moves(cells), n)
    A, B, C, dependencies = [np.eye(n)], [move], [np.zeros(n)], [(0,)]
    for i, pair in enumerate(pairs):
        cue, feedback = (one_hot(np.zeros((n, 2), int), 3) for _ in range(2))
        cue[:, letters == pair] = _binary(cue_reliability, FIRST, SECOND)[:, None]
        first, second = np.flatnonzero(letters == pair.upper())
        feedback[:, first] = _binary(reward_probability, REWARD, LOSS)
        feedback[:, second] = _binary(reward_probability, LOSS, REWARD)
        move[:, [first, second]] = np.eye(n)[:, [first, second], None]
        A += [cue, feedback]
        B.append(fixed(2))
        C += [np.zeros(3), preference * np.array([0.0, 1.0, -2.0])]
        dependencies += [(0, i + 1)] * 2
    D = [(letters == "S").astype(float), *(np.full(2, 0.5) for _ in pairs)]
    pomdp = POMDP(A, B, C, D, A_dependencies=dependencies)
    paid = {2 + 2 * i: (0.0, 1.0, -1.0) for i in range(len(pairs))}
    return World(pomdp, rewards=paid, horizon=horizon)


def _binary(probability: float, one: int, other: int) -> np.ndarray:
    """Of three outcomes, `one` in the first context and `other` in the second, or reversed."""
    table = np.zeros((3, 2))
    table[[one, other], [0, 1]] = probability
    table[[other, one], [0, 1]] = 1 - probability
    return table
