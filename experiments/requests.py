"""What people ask of a house robot, in English sentences of our own, by what they mean.

A request is a wording inside a frame, or a hint that does not say what is wanted. Training,
calibration, development and test share no wording and no hint; development and test have frames of
their own. Settings are picked on development sentences. The test sentences were written after all
settings were: nothing is picked on them.
"""

from typing import NamedTuple

import numpy as np

FRAMES = "{}.", "Please {}.", "I want you to {}."
DEVELOPED_FRAMES = "Could you {}?", "Robot, {} right now.", "It would be nice of you to {}."
TESTED_FRAMES = "Can you {}?", "Time to {}, robot.", "Your next job is to {}."
TRAINED, CALIBRATED = 7, 2  # wordings of each intent; the rest are for development

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
DEVELOPED_HINTS = {
    "kitchen": "I am about to make dinner. The soup is boiling over. Breakfast needs two hands.",
    "charge": "Your energy will not last. You are almost empty. Do not die on me, robot.",
    "lights on": "I can hardly see. It is so dark. How gloomy it is tonight.",
    "lights off": "That lamp blinds me. It is far too bright. Nobody needs this glare.",
    "heating": "I am freezing. My hands are cold. It feels like winter in here.",
    "music": "It is too quiet. We want to dance. This party needs a band.",
    "alarm": "I have an exam at eight. I tend to sleep too long. The cake needs half an hour.",
    "vacuum": "Sand got onto the tiles. Somebody spilled the flour. The rug is filthy.",
}
TESTED_WORDINGS = {
    "kitchen": """
roll over to the cooker; show up at the kitchen counter; park yourself near the dishwasher; make
your way to where the pots and pans are; leave this room for the kitchen""",
    "charge": """
put yourself on the charger; top up your battery; plug into the wall; fetch some fresh power for
yourself; rest on your charging pad until you are full""",
    "lights on": """
get the lamps going; let us have light; flip the light switch on; bring some brightness into this
corner; make the bulbs shine""",
    "lights off": """
kill the lights; put this lamp to sleep; flip the light switch off; get the room dark for the
film; shut the lamps down""",
    "heating": """
put the heating on; get this place warmer; give us two more degrees; fire up the radiators; bring
the temperature up a little""",
    "music": """
start a song; give us some tunes; let the speakers play; find a nice melody and play it; put a
record on""",
    "alarm": """
wake me at half past five; put the alarm on for tomorrow morning; count down five minutes and ring;
give me a wake-up call at eight; beep when the pizza has had its twelve minutes""",
    "vacuum": """
run the vacuum cleaner; hoover under the bed; suck the crumbs off the carpet; make the floor
spotless; wipe the tiles""",
}
TESTED_HINTS = {
    "kitchen": """
The kettle is whistling. Somebody has to stir the sauce. The oven timer went off. I need help with
the dishes. The groceries must go into the fridge. The pancakes are about to burn. Supper is being
cooked and I could use a hand.""",
    "charge": """
Your battery shows five percent. You are nearly out of juice. You have been working all day without
a break for power. Soon you will not have the strength to move. Your battery warning is beeping. You
look drained. With so little charge you will stop halfway.""",
    "lights on": """
I cannot find my keys in the dark. The sun has set and nobody can see a thing. It is too dim to sew.
This hall is as dark as a cave. I nearly fell because I saw nothing. My book is impossible to read
in this gloom. We should not sit in darkness.""",
    "lights off": """
The ceiling lamp keeps the baby awake. It is bright enough outside. All the lamps are burning for
nothing. The light is dazzling me. We want to watch the stars from the window. Nobody is in the hall
and yet it is lit. I would rather sit in the dark.""",
    "heating": """
My toes are frozen. I can see my own breath in here. This room feels like a fridge. Grandmother is
shivering under her blanket. The radiator is stone cold. It is far too cool for me. I have been cold
since this morning.""",
    "music": """
This evening is boring without a band. My guests would love to hear some jazz. I miss the sound of a
piano. The house is so quiet that it makes me sad. I feel like singing along to something. A waltz
would be lovely now. Nothing cheers me up like a good song.""",
    "alarm": """
My train goes at six in the morning. I always sleep through the morning. The eggs need exactly four
minutes. I must take my pills in an hour. I want to nap for twenty minutes only. We have to leave at
noon sharp. I am afraid of oversleeping tomorrow.""",
    "vacuum": """
The cat has shed all over the sofa. There are crumbs under the table. I stepped in something sticky.
The carpet has seen better days. Our boots brought mud inside. A flowerpot fell and there is soil on
the floor. You could write your name in this dust.""",
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
    develop: Requests
    test: Requests


def requests() -> Split:
    """All requests, intent after intent."""
    parts = [Requests((), ())] * 4
    for number, intent in enumerate(INTENTS):
        wordings, held = _wordings(WORDINGS[intent]), TRAINED + CALIBRATED
        said = (
            _framed(wordings[:TRAINED], FRAMES) + _sentences(TRAINED_HINTS[intent]),
            _framed(wordings[TRAINED:held], FRAMES) + _sentences(CALIBRATED_HINTS[intent]),
            _framed(wordings[held:], DEVELOPED_FRAMES) + _sentences(DEVELOPED_HINTS[intent]),
            _framed(_wordings(TESTED_WORDINGS[intent]), TESTED_FRAMES)
            + _sentences(TESTED_HINTS[intent]),
        )
        parts = [
            Requests(part.sentences + more, (*part.intents, *[number] * len(more)))
            for part, more in zip(parts, said, strict=True)
        ]
    return Split(*(Requests(part.sentences, np.array(part.intents)) for part in parts))


def _wordings(text: str) -> list[str]:
    return [" ".join(wording.split()) for wording in text.split(";")]


def _framed(wordings: list[str], frames: tuple[str, ...]) -> tuple[str, ...]:
    filled = (frame.format(wording) for wording in wordings for frame in frames)
    return tuple(sentence[0].upper() + sentence[1:] for sentence in filled)


def _sentences(text: str) -> tuple[str, ...]:
    told = " ".join(text.split())
    return tuple(f"{sentence.rstrip('.')}." for sentence in told.split(". "))
