"""English sentences of our own, on which to see what spikes do to a language model.

`FIRST` and `SECOND` share no topic: what was chosen on the one is confirmed on the other. Sentences
to calibrate on are put together at random from phrases, some 800,000 of them.
"""

import numpy as np

FIRST = (
    "A cat is sleeping on the warm windowsill.",
    "The kitten naps in the sun by the window.",
    "A dog is barking at the mail carrier.",
    "The central bank raised interest rates by half a percent.",
    "Borrowing costs went up after the monetary authority's decision.",
    "Stock markets fell sharply on Tuesday.",
    "Spiking neurons communicate with brief electrical pulses.",
    "Nerve cells talk to each other using action potentials.",
    "Neuromorphic chips compute with events instead of clock ticks.",
    "She boiled the pasta for nine minutes.",
    "He cooked the spaghetti until it was al dente.",
    "The recipe needs two cups of flour and one egg.",
    "Free energy is an upper bound on surprise.",
    "Minimising variational free energy makes the brain a better model of the world.",
    "The steam engine wastes most of its heat.",
    "How do I reset my password?",
    "I forgot my login credentials, what should I do?",
    "Where can I download the invoice?",
    "The rocket landed safely on the drone ship.",
    "The booster touched down on the floating platform.",
    "Astronauts repaired the telescope during a spacewalk.",
    "It has been raining all week in London.",
    "London has had seven days of wet weather.",
    "The desert receives almost no rainfall.",
    "The patient was prescribed antibiotics for pneumonia.",
    "Doctors treated the lung infection with drugs.",
    "Regular exercise lowers blood pressure.",
    "He plays the violin in an orchestra.",
    "She is a guitarist in a rock band.",
    "The concert was cancelled because the singer was ill.",
    "Gradient descent updates the weights to reduce the loss.",
    "The optimiser follows the negative slope of the objective function.",
    "The hikers walked down the steep slope.",
    "The treaty was signed in 1648 and ended thirty years of war.",
    "Peace came to Europe with an agreement in the mid seventeenth century.",
    "Voters will elect a new parliament in spring.",
    "Yes.",
    "no",
    "3.14159 is approximately pi.",
    "def add(a, b): return a + b",
)

SECOND = (
    "The ferry to the island leaves at half past six.",
    "A boat crosses to the isle early in the evening.",
    "Passengers must show their tickets before boarding.",
    "The glacier has retreated two kilometres since 1950.",
    "Mountain ice is melting faster than it did a century ago.",
    "Sea levels could rise by a metre before 2100.",
    "Bees pollinate most of the fruit trees in the valley.",
    "Insects carry pollen from blossom to blossom.",
    "A wasp stung the gardener on his left hand.",
    "The goalkeeper saved a penalty in the last minute.",
    "Her late stop kept the score level.",
    "The marathon runner collapsed just before the finish.",
    "My flight was delayed and I missed the connection.",
    "Because the plane was late, we could not change in time.",
    "Can I bring a bicycle on the train?",
    "The jury found the defendant not guilty.",
    "He was acquitted after a trial of three weeks.",
    "The contract may be ended with a month's notice.",
    "A prime number has exactly two divisors.",
    "Only one and the number itself divide a prime.",
    "Every even number above two seems to be a sum of two primes.",
    "The potter glazed the bowl and fired it again.",
    "Ceramics are baked at more than a thousand degrees.",
    "The sculpture is carved from a single block of marble.",
    "Please turn down the music, the baby is asleep.",
    "Could you be quieter? The child is napping.",
    "The landlord raised the rent again this year.",
    "Proteins fold into shapes that decide what they do.",
    "The function of an enzyme follows from its structure.",
    "Vaccines teach the immune system to recognise a virus.",
    "The old bridge was closed to lorries after the flood.",
    "Heavy vehicles may no longer cross the river there.",
    "A new tram line will link the harbour with the university.",
    "She translated the novel from Portuguese into Finnish.",
    "The poem rhymes in the original, but not in this version.",
    "Wolves returned to the forest after two hundred years.",
    "Never mind.",
    "Why?",
    "E = m c^2",
    "SELECT name FROM users WHERE age > 30;",
)

SUBJECTS = """
the old fisherman; a young nurse; our neighbour; the minister of finance; a team of
biologists; the orchestra; every student in the class; the company; a stray dog; the
committee; my grandmother; an engineer from Oslo; the court; the whole village; a retired
teacher; the search engine; the pilot; two brothers; the museum; a small start-up; the
football coach; the government; an unknown author; the storm; a group of tourists; the
software update; the hospital; the painter; this theorem; a female elephant; the moon; the
river; a broken pump; the newspaper; the astronaut; my bank; the chef; a rare orchid; the
telescope; the railway; the weather service; a quiet librarian; the union; the factory; the
virus; a bright comet; the children; the new law; an electric car; the robot
"""
VERBS = """
has forgotten; will never accept; carefully measured; wants to sell; reported; is looking
for; destroyed; cannot explain; slowly improved; has just bought; described; refused to
sign; was surprised by; depends on; will soon replace; paid for; photographed; studied;
praised; ignored; discovered; is waiting for; complained about; lost; has finally repaired;
compared; published; moved towards; warned people of; is afraid of; learned from; voted
against; plans to build; remembered; invented; painted; checked; followed; put off; talked
about
"""
OBJECTS = """
the price of bread; a hidden lake; the results of the vote; three broken windows; an ancient
map; the colour of the sky; cheap solar cells; the train to Madrid; a letter from 1912; the
growth of bacteria; its own mistakes; the second half of the match; a cure for malaria; the
noise of the motorway; several tonnes of steel; the rights of workers; a recipe with
saffron; the shortest path; the temperature of the ocean; an error in the code; a concert
for piano; the birth of a star; the missing keys; a loan of ten thousand euros; the history
of writing; the password of the account; wild mushrooms; the rules of chess; a damaged
bridge; the speed of light; the smell of rain; new shoes for winter; the language of whales;
a film about divorce; the risk of flooding; an unusual fossil; the electricity bill; the
evening news; the migration of birds; a probability of one half
"""
TAILS = """
after a long winter; in spite of everything; without saying a word; near the border; for the
first time in years; because nobody else did; during the night; according to the report;
before the end of the month; and nobody noticed; with the help of a computer; on the way to
work; at the age of forty; as everyone had expected; although it was forbidden; in the north
of the country; twice a week; to save money; by mistake
"""


def calibration(count: int, seed: int) -> list[str]:
    """So many sentences of one clause, two in five with an adverbial, one in ten a question."""
    generator = np.random.default_rng(seed)
    groups = [_phrases(text) for text in (SUBJECTS, VERBS, OBJECTS, TAILS)]

    def sentence() -> str:
        subject, verb, thing, tail = (group[generator.integers(len(group))] for group in groups)
        chance = generator.random(2)
        clause = f"{subject} {verb} {thing}" + (f" {tail}" if chance[0] < 0.4 else "")
        if chance[1] < 0.1:
            return f"Is it true that {clause}?"
        return f"{clause[0].upper()}{clause[1:]}."

    return [sentence() for _ in range(count)]


def _phrases(text: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in text.split(";")]
