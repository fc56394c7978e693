"""Make ``data/readings`` and ``data/neural_voices/phones.csv``: known texts, and when their phones are spoken.

    pip install espeakng-loader
    python data/make_readings.py            # a minute, rewrites both

``data/readings`` are texts read by espeak-ng in American English, to align recordings with: a reading only has to
say what is spoken, and about how, for the phones' means are taken over all recordings. ``please_call_stella`` is
the paragraph that everyone reads in the Speech Accent Archive; ``s00`` to ``s47`` are the sentences of
``data/neural_voices``.

The neural voices were given phonemes to speak, each accent its own; so their clips are aligned with readings of the
same sentence in the same accent, and ``phones.csv`` names the phones that were meant to be said.
"""

import tempfile
from pathlib import Path

import pandas as pd
from make_accents_mini import Accent, Espeak, Speaker, make_clip, write_clip, write_phones

from accentlib import align, read_corpus

HERE = Path(__file__).parent
NEURAL_ACCENTS: dict[str, Accent] = {
    "us": ("en-us", None),
    "rp": ("en-gb-x-rp", None),
    "scot": ("en-gb-scotland", None),
    "carib": ("en-029", None),
    "hi": ("hi", "hindi"),
    "fr": ("fr", "french"),
    "de": ("de", "german"),
    "es": ("es", "spanish"),
}
READER = Speaker(0, "language variant\nname spk00\n", 140)
STELLA = """\
Please call Stella. Ask her to bring these things with her from the store: Six spoons of fresh snow peas, five
thick slabs of blue cheese, and maybe a snack for her brother Bob. We also need a small plastic snake and a big
toy frog for the kids. She can scoop these things into three red bags, and we will go meet her Wednesday at the
train station."""
SENTENCES = """\
The farmer cannot park his car after dark in the yard.
Thirty thick feathers were lying on the other side of the path.
My brother caught a hot cup of coffee and walked across the lot.
She laughed at the last dance and asked for half a glass of water.
We go home slowly over the old stone road in the cold snow.
The bird heard the first word of the early morning service.
Put a good book in the wooden cupboard by the front door.
Nobody thought the small boy would fall off the tall wall.
Three brothers gathered with their mother and father on Thursday.
Every winter the vet drives a very wet van to the west valley.
The judge enjoyed a large orange and a jar of ginger jam.
A few new students used to chew blue fruit in the afternoon.
The happy lady carefully carried twenty pretty letters to the city.
Our hour in the tower was sour without any flowers.
Fear of the clear water near the pier made us all steer away.
Where there is care there is hair on the chair by the stairs.
I might like to ride my bike at nine on a fine night.
The loud crowd found a brown cow out in the town.
They say the rain may stay all day on the plain.
The noisy boys enjoyed pointing at the coins and toys.
Bob got a lot of pots and dropped the box on the clock.
Just one young cousin runs for fun under the summer sun.
Fit little fish swim quickly in the big river.
Please keep these clean green sheets between the three trees.
A nurse in a purple shirt turned to the thirsty girl.
The path to the castle passes a vast plant in the grass.
The writer was waiting for a better bottle of butter.
Harry hit his head hard on the heavy handle of a hammer.
The singer was bringing a long ringing song to the king.
Measure the pleasure of leisure with a usual vision.
Poor tourists are sure the moor is more pure than the shore.
Cars and carts start far apart in the market square.
Both of them breathe smoothly with the weather in the north.
Ten men said they went to bed at the end of the seven days.
Could you pull the full wool hood over your foot.
Two cool shoes soon moved through the room at noon.
The dog in the long fog lost a strong cloth on the log.
Better weather later in the winter matters to the daughter.
Her work in the church was worth the world to every girl.
I rarely hear the mirror story from the rural writer.
The chef put sugar, fish and fresh sherry on a special dish.
Jack had a black bag, a flat cap and a sad hat.
An old goat rode a boat under the low open window.
The tired choir retired to the fire for an hour.
Nothing but love comes from above when the dove is done.
Peter took a taxi from the top of the street to the park.
Vera drove seven heavy vans over the river every evening.
The quiet student asked a question about the quick fox.
""".splitlines()


def read_aloud(espeak: Espeak, accent: Accent, texts: dict[str, str], folder: Path) -> list[pd.DataFrame]:
    """Write a recording of each text, by its name; the phones of each."""
    phones = []
    for name, text in texts.items():
        # the engine pauses at commas, a recording's pauses are elsewhere
        words = " ".join(text.replace(",", "").replace(":", "").replace(".", "").split())
        wave, spoken = make_clip(espeak, accent, READER, words, 0)
        write_clip(folder / f"{name}.ogg", wave)
        phones.append(spoken.assign(path=f"{name}.ogg"))
    return phones


def main() -> None:
    """Write the readings, and the phones of the neural voices."""
    output, voices = HERE / "readings", HERE / "neural_voices"
    sentences = {f"s{i:02d}": text for i, text in enumerate(SENTENCES)}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as spoken:
        espeak = Espeak([READER], Path(folder))
        texts = {"please_call_stella": STELLA} | sentences
        write_phones(output, read_aloud(espeak, NEURAL_ACCENTS["us"], texts, output))
        phones = []
        for name, accent in NEURAL_ACCENTS.items():
            texts = {f"{name}_{sentence}": text for sentence, text in sentences.items()}
            phones += read_aloud(espeak, accent, texts, Path(spoken))
        write_phones(Path(spoken), phones)
        table = read_corpus(voices)
        table["text"] = table["accent"] + "_" + table["sentence"]
        aligned, _ = align(table, spoken, text_column="text")
    home = f"{voices.absolute()}/"
    write_phones(voices, [aligned.assign(path=aligned["path"].str.removeprefix(home))])


if __name__ == "__main__":
    main()
