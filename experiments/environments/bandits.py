"""Arms to pull: one that is best until it switches, and slot machines with a hint for sale."""

import numpy as np

from experiments.environments.world import POMDP, World

LOST, WON, WAITING = range(3)  # outcomes of switching_bandit
START, HINT, LEFT, RIGHT = range(4)  # choices at the slot machines, and the actions that make them
NOTHING, LOSS, WIN = range(3)  # outcomes of the slot machines' payment
CONTEXT, CHOICE = range(2)
HINTED, PAID, CHOSEN = range(3)


def switching_bandit(
    arms: int = 4,
    *,
    switch_probability: float = 0.01,
    advantage: float = 0.25,
    preference: float = 1.0,
    horizon: int | None = None,
) -> World:
    """Bernoulli arms: all win with probability 1/2, the best with `advantage` more.

    Factors: best arm, last choice (an arm, or none yet). Modalities: outcome (lost, won, not
    pulled yet) and choice. Action j pulls arm j.

    Args:
        arms: number of arms.
        switch_probability: that another arm, any, becomes the best before a pull.
        advantage: of the best arm.
        preference: log-preference for winning; its negative for losing.
        horizon: number of pulls until the task is cut short.

    Raises:
        ValueError: if there are fewer than two arms or a probability leaves [0, 1].

    Source: Markovic et al. (2021), Neural Networks 144:229-246, the switching bandit of fixed
        difficulty.
    """
    if arms < 2:
        raise ValueError(f"arms must be at least 2, got {arms}")
    if not (0 <= switch_probability <= 1 and 0 <= advantage <= 0.5):
        told = f"{switch_probability} and {advantage}"
        raise ValueError(f"switch_probability and advantage must be in [0, 1], [0, .5], got {told}")
    outcome = np.zeros((3, arms, arms + 1))
    outcome[WON, :, :arms] = 0.5 + advantage * np.eye(arms)
    outcome[LOST, :, :arms] = 1 - outcome[WON, :, :arms]
    outcome[WAITING, :, arms] = 1
    others = switch_probability / (arms - 1)
    switch = np.full((arms, arms), others) + (1 - switch_probability - others) * np.eye(arms)
    pull = np.zeros((arms + 1, arms + 1, arms))
    pull[np.arange(arms), :, np.arange(arms)] = 1
    pomdp = POMDP(
        A=(outcome, np.eye(arms + 1)),
        B=(switch[:, :, None], pull),
        C=(preference * np.array([-1.0, 1.0, 0.0]), np.zeros(arms + 1)),
        D=(np.full(arms, 1 / arms), np.eye(arms + 1)[arms]),
        A_dependencies=((0, 1), (1,)),
    )
    return World(pomdp, rewards={0: (0.0, 1.0, 0.0)}, horizon=horizon)


def slot_machines(
    *,
    hint_accuracy: float = 1.0,
    win_probability: float = 0.8,
    reward_seeking: float = 4.0,
    left_better: float = 0.5,
) -> World:
    """Two machines, one better: play at once for more, or take a hint first and win less.

    Factors: better machine (left, right) and choice (start, hint, left, right). Modalities: hint
    (none, left, right), payment (nothing, loss, win) and the choice made. Two moves.

    Args:
        hint_accuracy: probability that the hint is right.
        win_probability: of the better machine; the other wins as often as that one loses.
        reward_seeking: log-preference rs for a win at the first move; half of it at the second. A
            loss has -1 at both.
        left_better: probability that the left machine is the better one.

    Source: Smith, Friston & Whyte (2022), J. Math. Psychol. 107:102632, the explore-exploit task.
    """
    hint, payment = np.zeros((3, 2, 4)), np.zeros((3, 2, 4))
    hint[0] = payment[NOTHING] = 1
    hint[:, :, HINT] = 0
    payment[:, :, LEFT:] = 0
    for context in range(2):
        hint[1 + context, context, HINT] = hint_accuracy
        hint[2 - context, context, HINT] = 1 - hint_accuracy
        payment[[LOSS, WIN], context, LEFT + context] = 1 - win_probability, win_probability
        payment[[LOSS, WIN], context, RIGHT - context] = win_probability, 1 - win_probability
    seen = np.broadcast_to(np.eye(4)[:, None], (4, 2, 4))
    go = np.broadcast_to(np.eye(4)[:, None], (4, 4, 4))
    paid = np.array([[0, 0, 0], [0, -1, reward_seeking], [0, -1, reward_seeking / 2]])
    pomdp = POMDP(
        A=(hint, payment, seen),
        B=(np.eye(2)[:, :, None], go),
        C=(np.zeros(3), paid, np.zeros(4)),
        D=(np.array([left_better, 1 - left_better]), np.eye(4)[START]),
    )
    return World(pomdp, rewards={PAID: (0.0, -1.0, 1.0)}, horizon=2)
