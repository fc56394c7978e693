"""Make ``data/readings``: known texts read by espeak-ng, with the times of their sounds, to align recordings with.

    pip install espeakng-loader
    python data/make_readings.py            # a few seconds, rewrites data/readings

``please_call_stella`` is the paragraph that everyone reads in the Speech Accent Archive; ``s00`` to ``s47``
are the sentences of ``data/neural_voices``. All in American English by one voice: a reading only has to say
what is spoken, and about how; who aligns recordings with it takes the sounds' means over all of them.
"""

import shutil
import tempfile
from pathlib import Path

from make_accents_mini import Espeak, Speaker, make_clip, write_clip, write_sounds

OUTPUT = Path(__file__).parent / "readings"
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


def main() -> None:
    """Write the recordings and ``sounds.csv``."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    texts = {"please_call_stella": STELLA} | {f"s{i:02d}": text for i, text in enumerate(SENTENCES)}
    sounds = []
    with tempfile.TemporaryDirectory() as folder:
        espeak = Espeak([READER], Path(folder))
        for name, text in texts.items():
            # the engine pauses at commas, a recording's pauses are elsewhere
            words = " ".join(text.replace(",", "").replace(":", "").replace(".", "").split())
            wave, spoken = make_clip(espeak, "american", READER, words, 0)
            write_clip(OUTPUT / f"{name}.ogg", wave)
            sounds.append(spoken.assign(path=f"{name}.ogg"))
    write_sounds(OUTPUT, sounds)
    print(f"{len(texts)} readings, {sum(map(len, sounds))} sounds")


if __name__ == "__main__":
    main()
