"""What people ask of a house robot, in English sentences of our own, by what they mean.

A request is a wording inside a frame, or a hint that does not say what is wanted. Training,
calibration and test share no wording and no hint, and test shares no frame with the others.
"""

from typing import NamedTuple

import numpy as np

FRAMES = "{}.", "Please {}.", "I want you to {}."
NEW_FRAMES = "Could you {}?", "Robot, {} right now.", "It would be nice of you to {}."
TRAINED, CALIBRATED = 7, 2  # wordings of each intent; the rest are tested on

WORDINGS = {
    "kitchen": """
go to the kitchen; drive over to the kitchen; move into the kitchen; come to where the food is
cooked; roll to the stove; wait for me next to the fridge; head for the room with the oven;
meet me at the kitchen table; go and stand by the sink; travel to the kitchen; find your way to
the place where we cook; come over to the fridge""",
    "charge": """
charge your battery; go back to your charger; plug yourself in; return to the charging station;
fill up your battery; drive to your dock; get some power; recharge yourself; look for a socket
and charge; connect to the charger; go home and load your batteries; dock at your station""",
    "lights on": """
turn on the lights; switch the lamp on; make it brighter in here; light up the room; put the
lights on; give me some light; turn the ceiling lamp on; switch on all the lamps; brighten the
room; turn the lights on; let there be light in here; illuminate the hall""",
    "lights off": """
turn off the lights; switch the lamp off; make it darker in here; darken the room; put the
lights out; get rid of this light; turn the ceiling lamp off; switch off all the lamps; dim the
room completely; turn the lights off; let it be dark in here; extinguish the lamp in the
hall""",
    "heating": """
turn up the heating; make it warmer in here; raise the temperature; warm up the room; set the
thermostat higher; heat the house; turn the radiator on; add a few degrees; start the heating;
turn the heating up; let the room get hotter; increase the warmth""",
    "music": """
play some music; put on a song; start the playlist; let me hear a tune; turn on the radio; play
my favourite album; put some jazz on; start the music; play something to dance to; turn the music
on; let a record spin; play us a melody""",
    "alarm": """
set an alarm for seven; wake me at six; ring a bell in ten minutes; start a timer; remind me in
an hour; get me up early tomorrow; set the alarm clock; beep when ten minutes are over; wake us
up at dawn; set a timer for the eggs; sound the alarm at noon; wake me up in time""",
    "vacuum": """
vacuum the carpet; clean the floor; sweep up the crumbs; mop the hall; hoover the living room;
wipe up the mess; get the dust off the floor; clean up in here; suck up the dirt; vacuum under the
sofa; sweep the floor; clean the carpet""",
}
TRAINED_HINTS = {
    "kitchen": "I am hungry. The pasta is nearly done. Lunch is ready to be served.",
    "charge": "You are running out of power. Your battery is low. You look tired, robot.",
    "lights on": "I cannot read in this darkness. It is pitch black. The room is too dim.",
    "lights off": "It is too bright. The lamp hurts my eyes. We waste electricity on light.",
    "heating": "I am cold. The room is chilly. There is frost on the inside of the window.",
    "music": "It is so silent. I would love a concert. The guests are in the mood to dance.",
    "alarm": "I must not oversleep. My bus leaves early. I have to be up before sunrise.",
    "vacuum": "There is dust everywhere. The dog lost hair on the rug. The floor is dirty.",
}
CALIBRATED_HINTS = {
    "kitchen": "The plates are still by the stove. Something is burning in the pan.",
    "charge": "You will shut down soon. Your light blinks red, robot.",
    "lights on": "I keep bumping into things at night. The bulb is not lit.",
    "lights off": "I cannot sleep in this brightness. The sun is up already.",
    "heating": "My feet are like ice. I need a second sweater.",
    "music": "Nobody sings anymore. I am in the mood for Mozart.",
    "alarm": "My interview is at nine tomorrow. The bread must not stay too long in the oven.",
    "vacuum": "I stepped on crumbs. The children left mud in the hall.",
}
HINTS = {
    "kitchen": "I am about to make dinner. The soup is boiling over. Breakfast needs two hands.",
    "charge": "Your energy will not last. You are almost empty. Do not die on me, robot.",
    "lights on": "I can hardly see. It is so dark. How gloomy it is tonight.",
    "lights off": "That lamp blinds me. It is far too bright. Nobody needs this glare.",
    "heating": "I am freezing. My hands are cold. It feels like winter in here.",
    "music": "It is too quiet. We want to dance. This party needs a band.",
    "alarm": "I have an exam at eight. I tend to sleep too long. The cake needs half an hour.",
    "vacuum": "Sand got onto the tiles. Somebody spilled the flour. The rug is filthy.",
}
INTENTS = tuple(WORDINGS)


class Requests(NamedTuple):
    """Sentences, and the number of the intent of each."""

    sentences: tuple[str, ...]
    intents: np.ndarray


class Split(NamedTuple):
    """Requests by what they are for."""

    train: Requests
    calibrate: Requests
    test: Requests


def requests() -> Split:
    """All requests, intent after intent."""
    parts = Requests((), ()), Requests((), ()), Requests((), ())
    for number, intent in enumerate(INTENTS):
        wordings = [" ".join(w.split()) for w in WORDINGS[intent].split(";")]
        held = TRAINED + CALIBRATED
        said = (
            _framed(wordings[:TRAINED], FRAMES) + _sentences(TRAINED_HINTS[intent]),
            _framed(wordings[TRAINED:held], FRAMES) + _sentences(CALIBRATED_HINTS[intent]),
            _framed(wordings[held:], NEW_FRAMES) + _sentences(HINTS[intent]),
        )
        parts = tuple(
            Requests(part.sentences + more, (*part.intents, *[number] * len(more)))
            for part, more in zip(parts, said, strict=True)
        )
    return Split(*(Requests(part.sentences, np.array(part.intents)) for part in parts))


def _framed(wordings: list[str], frames: tuple[str, ...]) -> tuple[str, ...]:
    filled = (frame.format(wording) for wording in wordings for frame in frames)
    return tuple(sentence[0].upper() + sentence[1:] for sentence in filled)


def _sentences(text: str) -> tuple[str, ...]:
    return tuple(f"{sentence.rstrip('.')}." for sentence in text.split(". "))
