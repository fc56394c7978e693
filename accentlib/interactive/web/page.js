// What a person does with the page: speak or choose a file, compare up to five answers, look at the last.
"use strict";
(() => {
  const SHAPES = ["M8 2a6 6 0 1 0 .01 0z", "M2 2h12v12H2z", "M8 1l5 7-5 7-5-7z", "M8 2l7 12H1z", "M8 0l2 6h6l-5 4 2 6-5-4-5 4 2-6-5-4h6z",
    "M8 14l7-12H1z", "M6 1h4v5h5v4h-5v5H6v-5H1V6h5z", "M4 2h8l4 6-4 6H4L0 8z", "M7 0h2v16H7zM0 7h16v2H0z", "M3 1l5 5 5-5 2 2-5 5 5 5-2 2-5-5-5 5-2-2 5-5-5-5z"];
  const MOST = 5; // answers beside one another
  const element = (id) => document.getElementById(id);
  const make = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };
  const content = JSON.parse(element("content").textContent);
  const { config: { sample_rate: rate }, voices, calibration } = content;
  const percent = (p) => `${Math.round(100 * p)} %`;
  const say = (text) => { element("status").textContent = text; };
  const waiting = {};
  let asked = 0;

  function connect() {
    const source = URL.createObjectURL(new Blob([element("network").textContent], { type: "text/javascript" }));
    const worker = new Worker(source);
    worker.onmessage = ({ data: { id, ready, answer, error, reasons } }) => {
      if (ready) {
        say(`Ready. ${document.querySelector("blockquote") ? "Read this, or say anything in English" : "Speak"}, for at least 3 s.`);
        element("recorder").hidden = false;
        document.body.dataset.ready = String(Math.round(performance.now()));
      } else if (reasons) {
        waiting[id].explain(reasons);
        delete waiting[id];
      } else if (error) {
        waiting[id].reject(new Error(error));
      } else {
        waiting[id].resolve(answer);
      }
    };
    worker.postMessage({ content });
    return worker;
  }

  function answer(samples, sampleRate, explain = () => {}) {
    return new Promise((resolve, reject) => {
      waiting[++asked] = { resolve, reject, explain };
      worker.postMessage({ id: asked, wave: samples, rate: sampleRate });
    });
  }

  function card(number, { labels, probabilities, accent, unlike, nearest }) {
    const made = make("article", "", { class: unlike ? "attempt unlike" : "attempt" });
    const said = unlike ? `${accent}` : accent === "unsure" ? "unsure" : `${accent}, ${percent(Math.max(...probabilities))}`;
    const more = unlike ? `nearest: ${nearest}; the bars mean nothing` : accent === "unsure" ? `nearest: ${nearest}` : "";
    const heading = make("h2", `Attempt ${number}: `);
    heading.append(make("strong", said));
    const table = make("table");
    labels.forEach((label, i) => {
      const cells = table.insertRow();
      cells.append(make("td", label), make("td", percent(probabilities[i])), make("td"));
      cells.lastChild.append(make("div", "", { class: "bar" }));
      cells.lastChild.firstChild.style.width = `${100 * probabilities[i]}%`;
    });
    made.append(heading, make("p", more, { class: "small" }), table);
    return made;
  }

  function draw({ picture: { logMels, steps, seconds }, nearest }) {
    const [canvas, mels] = [element("picture"), logMels[0].length];
    [canvas.width, canvas.height] = [logMels.length, mels];
    const values = logMels.flatMap((row) => [...row]).sort((a, b) => a - b);
    const [low, high] = [0.05, 0.995].map((q) => values[Math.floor(q * (values.length - 1))]);
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(logMels.length, mels);
    logMels.forEach((row, t) => row.forEach((x, m) => {
      const grey = 255 * (1 - Math.min(1, Math.max(0, (x - low) / (high - low))));
      pixels.data.set([grey, grey, grey, 255], 4 * ((mels - 1 - m) * logMels.length + t));
    }));
    context.putImageData(pixels, 0, 0);
    const attended = steps[0].attention !== undefined;
    const runs = steps.filter((step, i) => attended || step.phone !== steps[i - 1]?.phone);
    element("heard").replaceChildren(...runs.map(({ seconds: start, attention, phone }, i) => {
      const end = runs[i + 1]?.seconds ?? seconds;
      const grey = attended ? `rgb(1 115 178 / ${Math.min(1, attention / 3)})` : "none";
      const made = make("span", phone === steps[steps.findIndex((x) => x.seconds === start) - 1]?.phone ? "\u00a0" : phone ?? "\u00a0");
      Object.assign(made.style, { left: `${(100 * start) / seconds}%`, width: `${(100 * (end - start)) / seconds}%`, background: grey });
      return made;
    }));
    element("caption").textContent = `${seconds.toFixed(1)} s without its pauses, 0 to ${rate / 2} Hz.`
      + (steps[0].phone ? " Below: the phones that it heard (IPA)." : "") + (attended ? " Blue: attention, full at three times its mean." : "");
    element("wide").style.width = `${7 * seconds}rem`;
    element("why").hidden = true;
    element("answer").textContent = nearest;
    element("details").hidden = false;
  }

  function showReasons(reasons) {
    const most = Math.max(...reasons.map((x) => Math.abs(x.reason)));
    element("reasons").replaceChildren(...(reasons.length > 10 ? [...reasons.slice(0, 6), ...reasons.slice(-4)] : reasons).map((x) => {
      const cells = make("tr");
      cells.append(make("td", x.ipa), make("td", `${x.seconds.toFixed(1)} s`), make("td"));
      const bar = make("div", "", { class: x.reason < 0 ? "bar against" : "bar" });
      const half = (50 * Math.abs(x.reason)) / most;
      Object.assign(bar.style, { width: `${half}%`, left: `${x.reason < 0 ? 50 - half : 50}%` });
      cells.lastChild.append(make("div", "", { class: "signed" }));
      cells.lastChild.firstChild.append(bar);
      return cells;
    }));
    element("why").hidden = false;
  }

  const symbol = (group) => `<path d="${SHAPES[group % SHAPES.length]}" fill="${voices.colours[group]}"/>`;
  const reach = voices && Math.max(...voices.x.map(Math.abs), ...voices.y.map(Math.abs)) || 1;
  const place = (i) => [(100 * voices.x[i]) / reach, (-100 * voices.y[i]) / reach];
  const play = (i) => { if (voices.sounds?.[i]) Object.assign(element("sound"), { src: voices.sounds[i] }).play(); };

  function drawMap({ five, place: own } = { five: [] }) {
    const points = voices.of.map((group, i) => `<g transform="translate(${place(i)}) scale(.25) translate(-8 -8)">${symbol(group)}</g>`);
    const lines = five.map((i) => `<path d="M${place(own)}L${place(i)}" stroke="#111" stroke-width=".7"/>`);
    const ring = five.length ? `<circle cx="${place(own)[0]}" cy="${place(own)[1]}" r="6" fill="none" stroke="#111" stroke-width="1.5"/>` : "";
    element("map").innerHTML = points.join("") + lines.join("") + ring;
    element("near").replaceChildren(...(five.length ? ["The ring is this voice, at one of the five that are nearest: "] : []), ...five.flatMap((i, n) => {
      const words = `${voices.names[i]} (${voices.kinds[voices.of[i]]})`;
      const button = make(voices.sounds?.[i] ? "button" : "span", words);
      button.addEventListener("click", () => play(i));
      return [n ? ", " : "", button];
    }));
  }

  let number = 0;
  async function heard(samples, at) {
    say("Computing …");
    try {
      const found = await answer(samples, at, showReasons);
      element("attempts").prepend(card(++number, found));
      if (number > MOST) element("attempts").lastChild.remove();
      draw(found);
      if (voices) drawMap(found.neighbours);
      say(`${calibration.temperature === 1 ? "These are scores, not calibrated probabilities. " : ""}Again? The last ${MOST} answers stay for comparison.`);
    } catch (error) {
      say(`No answer: ${error.message}.`);
    }
  }

  if (!window.Worker) return say("This browser cannot compute the answer (it has no Web Workers). Use a current Chrome, Edge, Firefox or Safari.");
  const worker = connect();
  const secure = Boolean(navigator.mediaDevices);
  element("insecure").hidden = secure;
  const at = 48_000; // Hz; browsers resample downwards worse than network.js
  const stub = { rate: at, next: "", samples: null, get: (name) => stub[name], set: (name, value) => { stub[name] = value; } };
  stub.save_changes = () => heard(new Float32Array(stub.samples.buffer), at);
  render({ model: stub, el: element("recorder") });
  if (!secure) {
    element("recorder").querySelector("button").hidden = true;
    element("recorder").querySelector("input").setAttribute("capture", "user");
  }
  if (voices) {
    element("places").textContent = voices.caption;
    element("legend").innerHTML = voices.kinds.map((_, g) => `<span><svg viewBox="0 0 16 16" aria-hidden="true">${symbol(g)}</svg></span>`).join("");
    voices.kinds.forEach((kind, g) => element("legend").children[g].append(kind));
    drawMap();
  }
  window.accentlib = { answer };
})();
