"""The T-maze: a cue tells which of two arms is baited, and an arm once entered is not left."""

import numpy as np

from experiments.environments.world import POMDP, World

START, LEFT, RIGHT, CUE = range(4)  # locations, and the actions that go there
AT_START, AT_LEFT, AT_RIGHT, CUE_LEFT, CUE_RIGHT = range(5)  # outcomes of modality WHERE
NEUTRAL, REWARD, LOSS = range(3)  # outcomes of modality FEEDBACK
WHERE, FEEDBACK = range(2)
LOCATION, CONTEXT = range(2)


def t_maze(
    *,
    cue_reliability: float = 1.0,
    reward_probability: float = 0.98,
    preference: float = 6.0,
    horizon: int | None = 2,
) -> World:
    """The T-maze of Friston et al. (2017).

    Factors: location (start, left arm, right arm, cue) and context (the baited arm: left, right).
    Modalities: where (start, left, right, and two outcomes at the cue, one a context) and feedback
    (none, reward, loss). An action goes to a location, from the start or the cue; arms absorb.

    Args:
        cue_reliability: probability that the cue shows the context.
        reward_probability: of a reward in the baited arm, and of a loss in the other.
        preference: log-preference c for a reward; -c for a loss.
        horizon: moves in a trial.

    Raises:
        ValueError: if a probability is outside [0, 1].

    Source: Friston et al. (2017), Neural Comput. 29:1-49, with the numbers of SPM12's
        DEM_demo_MDP_X: reward_probability .98, c = 6, -1 for staying at the start.
    """
    for name, value in (
        ("cue_reliability", cue_reliability),
        ("reward_probability", reward_probability),
    ):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be a probability, got {value}")
    where, feedback = np.zeros((5, 4, 2)), np.zeros((3, 4, 2))
    for location in (START, LEFT, RIGHT):
        where[location, location] = 1
    feedback[NEUTRAL, [START, CUE]] = 1
    for context, baited, other in ((0, LEFT, RIGHT), (1, RIGHT, LEFT)):
        where[CUE_LEFT + context, CUE, context] = cue_reliability
        where[CUE_RIGHT - context, CUE, context] = 1 - cue_reliability
        for arm, outcome in ((baited, REWARD), (other, LOSS)):
            feedback[outcome, arm, context] = reward_probability
            feedback[REWARD + LOSS - outcome, arm, context] = 1 - reward_probability
    move = np.zeros((4, 4, 4))
    for action in range(4):
        move[action, [START, CUE], action] = 1
        move[LEFT, LEFT, action] = move[RIGHT, RIGHT, action] = 1
    pomdp = POMDP(
        A=(where, feedback),
        B=(move, np.eye(2)[:, :, None]),
        C=(np.array([-1.0, 0, 0, 0, 0]), preference * np.array([0.0, 1, -1])),
        D=(np.eye(4)[START], np.full(2, 0.5)),
    )
    return World(pomdp, rewards={FEEDBACK: (0.0, 1.0, -1.0)}, horizon=horizon)
