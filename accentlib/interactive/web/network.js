// The network in JavaScript: what features/log_mel.py, network/ and embeddings/ do for one recording, under their names.
// Rows are arrays of Float32Array; a tensor is {shape, data}, row by row. It runs in a worker, beside the page.
"use strict";

// ---- features/audio.py, features/log_mel.py

// Resample a wave (samples) by a sinc in a Hann window of 64 zero crossings: what lies above the lower rate's half is left out.
// (An OfflineAudioContext would fold it back into the spectrum.)
function resample(wave, from, to) {
  if (from === to) return wave;
  const cutoff = Math.min(1, to / from) * 0.97; // of half the old rate
  const reach = 32 / cutoff; // samples
  return Float32Array.from({ length: Math.round((wave.length * to) / from) }, (_, i) => {
    const centre = (i * from) / to;
    let sum = 0;
    for (let k = Math.max(0, Math.ceil(centre - reach)); k <= Math.min(wave.length - 1, centre + reach); k++) {
      const x = Math.PI * cutoff * (k - centre);
      sum += wave[k] * (x ? Math.sin(x) / x : 1) * (0.5 + 0.5 * Math.cos((Math.PI * (k - centre)) / reach));
    }
    return cutoff * sum;
  });
}

// Mask (samples) of all but pauses: `decibels` below the loudest 40 ms, 0.1 s away from speech.
function speech(wave, rate, decibels) {
  const [frame, hop, around] = [0.04, 0.01, 0.1].map((seconds) => Math.round(seconds * rate));
  const side = frame >> 1;
  const sums = new Float64Array(wave.length + 2 * side + 1);
  for (let i = 1; i < sums.length; i++) sums[i] = sums[i - 1] + (wave[i - 1 - side] ?? 0) ** 2;
  const energies = [];
  for (let i = frame; i < sums.length; i += hop) energies.push(sums[i] - sums[i - frame]);
  const least = energies.reduce((a, b) => Math.max(a, b)) * 10 ** (-decibels / 10);
  const mask = new Uint8Array(wave.length);
  energies.forEach((energy, i) => {
    if (energy > least) mask.fill(1, Math.max(0, hop * i - around), hop * i + hop + around);
  });
  return mask;
}

function melFilters(rate, nFft, nMels) { // (mels): where a triangle begins, and its heights
  const top = rate / 2;
  const highest = top > 1000 ? 15 + (27 * Math.log(top / 1000)) / Math.log(6.4) : (15 * top) / 1000;
  const hz = (mel) => (mel < 15 ? (mel * 1000) / 15 : 1000 * 6.4 ** ((mel - 15) / 27));
  const edges = Array.from({ length: nMels + 2 }, (_, i) => hz((highest * i) / (nMels + 1)));
  return edges.slice(2).map((end, m) => {
    const [low, centre] = [edges[m], edges[m + 1]];
    const begin = Math.ceil((low * nFft) / rate);
    const heights = [];
    for (let k = begin; k <= nFft / 2 && (k * rate) / nFft < end; k++) {
      const f = (k * rate) / nFft;
      heights.push(Math.max(0, Math.min((f - low) / (centre - low), (end - f) / (end - centre))));
    }
    return { begin, heights };
  });
}

// Fourier transform of re + i im in place (Cooley and Tukey); the length n is a power of two, turns[k] is exp(-2 pi i k / n).
function fft(re, im, turns) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
  }
  for (let half = 1; half < n; half *= 2) {
    for (let k = 0; k < half; k++) {
      const [c, s] = turns[(k * n) / (2 * half)];
      for (let i = k; i < n; i += 2 * half) {
        const a = re[i + half] * c - im[i + half] * s;
        const b = re[i + half] * s + im[i + half] * c;
        re[i + half] = re[i] - a;
        im[i + half] = im[i] - b;
        re[i] += a;
        im[i] += b;
      }
    }
  }
}

function logMel(wave, config) { // (samples) to rows (frames, mels)
  const { sample_rate: rate, n_fft: size, n_mels: mels } = config;
  const [length, hop] = [config.window_seconds, config.hop_seconds].map((seconds) => Math.round(seconds * rate));
  if (wave.length < size) throw Error(`too short: ${(wave.length / rate).toFixed(3)} s; say a sentence or two`);
  const y = Float64Array.from(wave, (x, i) => 32768 * (x - config.preemphasis * wave[Math.max(0, i - 1)]));
  const left = (size - length) >> 1;
  const filters = melFilters(rate, size, mels);
  const turns = Array.from({ length: size / 2 }, (_, k) => [Math.cos((2 * Math.PI * k) / size), -Math.sin((2 * Math.PI * k) / size)]);
  const window = Array.from({ length }, (_, i) => 0.54 - 0.46 * Math.cos((2 * Math.PI * i) / length)); // Hamming
  const rows = [];
  for (let start = 0; start + size <= y.length; start += hop) {
    const [re, im] = [new Float64Array(size), new Float64Array(size)];
    window.forEach((weight, i) => { re[left + i] = weight * y[start + left + i]; });
    fft(re, im, turns);
    rows.push(Float32Array.from(filters, ({ begin, heights }) => Math.log(Math.max(1,
      heights.reduce((sum, height, i) => sum + height * Math.hypot(re[begin + i], im[begin + i]), 0)))));
  }
  return rows;
}

function normalise(rows, normalization) { // by each band's mean, and its deviation for cmvn
  const mean = rows[0].map((_, m) => rows.reduce((sum, row) => sum + row[m], 0) / rows.length);
  const scale = mean.map((centre, m) => {
    const deviation = Math.sqrt(rows.reduce((sum, row) => sum + (row[m] - centre) ** 2, 0) / rows.length);
    return normalization === "cmvn" && deviation > 0.01 ? deviation : 1;
  });
  return rows.map((row) => row.map((x, m) => (x - mean[m]) / scale[m]));
}

// ---- network/vgg.py

// (channels, frames, mels), each channel with a border of zeros, so that a convolution has no edge cases
function image(channels, frames, mels) {
  const [width, size] = [mels + 2, (frames + 2) * (mels + 2)];
  return { channels, frames, mels, width, size, data: new Float32Array(channels * size) };
}

function convolve(x, weight, bias) { // 3x3, (in, frames, mels) to (out, frames, mels)
  const y = image(weight.shape[0], x.frames, x.mels);
  const { width: w, size } = x;
  for (let o = 0; o < y.channels; o++) {
    const to = y.data.subarray(o * size, (o + 1) * size).fill(bias.data[o], w + 1, size - w - 1);
    for (let c = 0; c < x.channels; c++) {
      const from = x.data.subarray(c * size, (c + 1) * size);
      const [k0, k1, k2, k3, k4, k5, k6, k7, k8] = weight.data.subarray(9 * (o * x.channels + c));
      for (let i = w + 1; i < size - w - 1; i++) {
        to[i] += k0 * from[i - w - 1] + k1 * from[i - w] + k2 * from[i - w + 1]
          + k3 * from[i - 1] + k4 * from[i] + k5 * from[i + 1] + k6 * from[i + w - 1] + k7 * from[i + w] + k8 * from[i + w + 1];
      }
    }
  }
  return y;
}

function relu(x) { // and zeros again for the border, to which a convolution has written
  for (let i = 0; i < x.data.length; i++) if (!(x.data[i] > 0)) x.data[i] = 0;
  for (let at = 0; at < x.data.length; at += x.width) x.data[at] = x.data[at + x.width - 1] = 0;
  return x;
}

function maxPool(x, halve, norm) { // frames and mels are halved, rounded up: past the end there are zeros, which ReLU allows
  const y = image(x.channels, halve ? Math.ceil(x.frames / 2) : x.frames, Math.ceil(x.mels / 2));
  for (let c = 0; c < y.channels; c++) {
    for (let t = 0; t < y.frames; t++) {
      const first = c * x.size + ((halve ? 2 * t : t) + 1) * x.width + 1;
      const second = halve && 2 * t + 1 < x.frames ? first + x.width : first; // the row below, if there is one
      const to = c * y.size + (t + 1) * y.width + 1;
      for (let m = 0; m < 2 * y.mels; m += 2) {
        const most = Math.max(x.data[first + m], x.data[first + m + 1], x.data[second + m], x.data[second + m + 1]);
        y.data[to + m / 2] = norm ? norm(most, c) : most;
      }
    }
  }
  return y;
}

// ---- network/pooling.py, network/accent_net.py

const range = (n) => Array.from({ length: n }, (_, i) => i);
function dot(a, b) { // a loop: most of the time goes here, and into convolve
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
const row = ({ shape, data }, i) => data.subarray(i * shape[1], (i + 1) * shape[1]);
const column = ({ shape, data }, j) => Float32Array.from(range(shape[0]), (i) => data[i * shape[1] + j]);

function linear(x, { shape: [outputs, inputs], data }, bias) { // (in) to (out)
  const y = new Float32Array(outputs);
  for (let o = 0; o < outputs; o++) y[o] = dot(x, data.subarray(o * inputs, (o + 1) * inputs)) + (bias?.data[o] ?? 0);
  return y;
}


function join(arrays) {
  const joined = new Float32Array(arrays.reduce((sum, x) => sum + x.length, 0));
  arrays.reduce((at, x) => (joined.set(x, at), at + x.length), 0);
  return joined;
}

function weighted(rows, weights) { // sum of rows, each times its weight
  const sum = new Float64Array(rows[0].length);
  rows.forEach((x, t) => { for (let i = 0; i < x.length; i++) sum[i] += weights[t] * x[i]; });
  return Float32Array.from(sum);
}

const mean = (rows) => weighted(rows, rows.map(() => 1 / rows.length));

function softmax(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b));
  const powers = scores.map((x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / sum);
}

// Heads' weighted means of their pieces of the steps, each followed by its deviations if wanted.
function contexts(steps, weights, deviations) { // steps (steps, size), weights (heads, steps)
  const size = steps[0].length / weights.length;
  return weights.map((w, j) => {
    const pieces = steps.map((step) => step.subarray(j * size, (j + 1) * size));
    const centre = weighted(pieces, w);
    if (!deviations) return centre;
    const variance = weighted(pieces.map((x) => x.map((v, i) => (v - centre[i]) ** 2)), w);
    return join([centre, variance.map((v) => Math.sqrt(Math.max(1e-6, v)))]);
  });
}

class AccentNet {
  constructor(config, weights) {
    this.config = config;
    this.of = (name) => weights[name];
  }

  norm(name) { // batch norm, of a value of channel or place i
    const [weight, bias, centre, variance] = ["weight", "bias", "running_mean", "running_var"].map((x) => this.of(`${name}.${x}`)?.data);
    return weight && ((x, i) => ((x - centre[i]) / Math.sqrt(variance[i] + 1e-5)) * weight[i] + bias[i]);
  }

  encode(rows) { // (frames, mels) to (steps, channels * mels)
    let x = image(1, rows.length, rows[0].length);
    rows.forEach((values, t) => x.data.set(values, (t + 1) * x.width + 1));
    for (let b = 0; this.of(`front_end.blocks.${b}.conv1.weight`); b++) {
      const conv = (n) => convolve(x, ...["weight", "bias"].map((part) => this.of(`front_end.blocks.${b}.conv${n}.${part}`)));
      x = relu(conv(1));
      x = maxPool(relu(conv(2)), 2 ** b < this.config.frames_a_step, this.norm(`front_end.blocks.${b}.norm`));
    }
    const piece = (c, t) => x.data.subarray(c * x.size + (t + 1) * x.width + 1, c * x.size + (t + 2) * x.width - 1);
    return range(x.frames).map((t) => join(range(x.channels).map((c) => piece(c, t))));
  }

  hear(encoded) { // phone probabilities, (steps, phones)
    return encoded.map((step) => softmax(linear(step, this.of("phone_layer.weight"), this.of("phone_layer.bias"))));
  }

  pool(encoded) { // the pooled vector, and weights of frames (heads, steps) and heads (heads) if there are any
    const method = this.config.pooling_method;
    const even = [new Float32Array(encoded.length).fill(1 / encoded.length)];
    if (method === "Statistics") return { pooled: contexts(encoded, even, true)[0] };
    if (method === "Phones") return this.poolPhones(encoded, contexts(encoded, even, true)[0]);
    const query = this.of("pooling.frame_attention.query") ?? this.of("pooling.query"); // (size / heads, heads)
    const hidden = (step) => linear(step, this.of("pooling.hidden.weight"), this.of("pooling.hidden.bias")).map(Math.tanh);
    const score = {
      Attention: (step) => dot(step, query.data),
      AttentiveStatistics: (step) => dot(hidden(step), this.of("pooling.score.weight").data),
    }[method];
    const heads = score ? 1 : this.config.heads;
    const size = encoded[0].length / heads;
    const queries = score ? [] : range(heads).map((j) => column(query, j));
    const scores = range(heads).map((j) => Float32Array.from(encoded, score
      ?? ((step) => dot(step.subarray(j * size, (j + 1) * size), queries[j]) / Math.sqrt(heads)))); // (heads, steps)
    const frames = scores.map(softmax);
    const heard = contexts(encoded, frames, method.endsWith("Statistics"));
    if (!method.startsWith("Double")) return { pooled: join(heard), frames };
    const beta = softmax(heard.map((c) => dot(c, this.of("pooling.query").data)));
    return { pooled: weighted(heard, beta), frames, heads: beta };
  }

  poolPhones(encoded, whole) { // a head for each phone
    const phones = this.hear(encoded);
    const prior = Math.log1p(Math.exp(this.of("pooling.prior").data[0])); // softplus
    const values = encoded.map((step) => linear(step.map((x, i) => x - whole[i]), this.of("pooling.values.weight")));
    const shares = range(phones[0].length).map((p) => Float32Array.from(phones, (step) => step[p])); // (phones, steps)
    const spoken = shares.map((own) => own.reduce((a, b) => a + b));
    const rows = shares.map((own, p) => weighted(values, own).map((v) => v / (spoken[p] + prior)));
    const frames = shares.map((own, p) => own.map((share) => share / Math.max(1e-6, spoken[p])));
    return { pooled: join([whole, ...rows]), frames, heads: spoken.map((x) => x / encoded.length) };
  }

  embedPooled(pooled) {
    const layer = (x, name) => linear(x, this.of(`${name}.weight`), this.of(`${name}.bias`)).map((v) => Math.max(0, v));
    return layer(layer(pooled, "fc1"), "fc2").map(this.norm("norm"));
  }

  cosines(embedding) { // to each accent
    const x = linear(embedding, this.of("fc3.weight"), this.of("fc3.bias"));
    const weight = this.of("am_softmax.weight"); // (size, accents)
    return Float32Array.from(range(weight.shape[1]), (i) => {
      const accent = column(weight, i);
      return dot(x, accent) / Math.sqrt(dot(x, x) * dot(accent, accent));
    });
  }
}

// ---- embeddings/inference.py, familiarity.py, explain.py; of an ensemble each network's part in turn

const rounded = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)); // a half to even, as in Python

function evaluationWindows(frames, window) {
  if (!window || frames <= window) return [[0, frames]];
  const count = Math.ceil(frames / window);
  return range(count).map((i) => rounded((i * (frames - window)) / (count - 1))).map((start) => [start, start + window]);
}

function interpolate(x, [xs, ys]) {
  const i = xs.findIndex((other) => other > x);
  if (i <= 0) return ys.at(i); // before the first, or after the last
  return ys[i - 1] + ((x - xs[i - 1]) / (xs[i] - xs[i - 1])) * (ys[i] - ys[i - 1]);
}

function distance({ mean: centre, scale, components, variances, noise, usual }, point, steps) { // 1: usual for so many steps
  const x = point.map((v, i) => (v - centre.data[i]) / scale.data[i]);
  const along = linear(x, components);
  const squared = along.reduce((sum, a, i) => sum + a ** 2 / variances.data[i], 0) + (dot(x, x) - dot(along, along)) / noise.data[0];
  return squared / Math.exp(interpolate(Math.log(steps), [0, 1].map((i) => [...row(usual, i)].map(Math.log))));
}

// One network's answer to one window, for an ensemble the mean of all: encoded is (networks, steps, size).
function classify(model, encoded) {
  const pools = model.networks.map((net, n) => net.pool(encoded[n]));
  const embeddings = model.networks.map((net, n) => net.embedPooled(pools[n].pooled));
  const cosines = mean(model.networks.map((net, n) => net.cosines(embeddings[n])));
  return { pools, embedding: join(embeddings), logits: cosines.map((x) => model.config.scale * x) };
}

function attention(pools) { // to each step, heads and networks together, as a multiple of uniform attention
  if (!pools[0].frames) return [];
  const each = pools.map(({ frames, heads }) => frames[0].map((_, t) =>
    frames.reduce((sum, w, j) => sum + w[t] * (heads?.[j] ?? 1 / frames.length), 0) * frames[0].length));
  return mean(each);
}

// Logits of a whole recording from the sum of its windows', ready for softmax.
const calibrated = ({ calibration: { window_gain: gain, temperature } }, sum, windows) => sum.map((x) => x / windows ** (1 - gain) / temperature);

function infer(model, wave) {
  const { config, labels, familiar, networks } = model;
  const [highest, lowest] = [Math.max, Math.min].map((f) => wave.reduce((a, b) => f(a, b), 0));
  if (!(highest - lowest >= 2e-4)) throw Error("silent: nothing can be heard in it");
  const mask = config.trim_silence ? speech(wave, config.sample_rate, config.trim_silence) : null;
  const logMels = normalise(logMel(mask ? wave.filter((_, i) => mask[i]) : wave, config), config.normalization);
  const windows = evaluationWindows(logMels.length, Math.round(config.evaluation_window / config.hop_seconds));
  const seen = windows.map(([start, stop]) => {
    const encoded = networks.map((net) => net.encode(logMels.slice(start, stop)));
    const heard = model.phones.length ? encoded[0].map((_, t) => mean(networks.map((net, n) => net.hear([encoded[n][t]])[0]))) : [];
    const far = familiar ? distance(familiar, join(encoded.map(mean)), encoded[0].length) : 0;
    return { start, encoded, heard, far: [far], ...classify(model, encoded) };
  });
  const [embedding, logits, [far]] = ["embedding", "logits", "far"].map((name) => mean(seen.map((x) => x[name])));
  const probabilities = softmax(calibrated(model, logits.map((x) => x * seen.length), seen.length));
  const best = probabilities.indexOf(probabilities.reduce((a, b) => Math.max(a, b)));
  const unlike = Boolean(familiar) && far > familiar.limit.data[0];
  const sure = probabilities[best] >= model.calibration.unsure_below;
  const accent = unlike ? "unlike anything I know" : sure ? labels[best] : "unsure";
  return { labels, probabilities, embedding, accent, unlike, nearest: labels[best], logMels, seen };
}

// By how much the answer's log-odds fall (nats) without each phone: its share of each step becomes the mean of the others.
function explain(model, { labels, nearest, seen, logMels }) {
  const sums = [...model.phones, "none"].map(() => new Float32Array(labels.length));
  for (const { encoded, heard, logits } of seen) {
    model.phones.forEach((_, p) => {
      const rest = heard.map((shares) => Math.max(1e-6, 1 - shares[p]));
      const total = rest.reduce((a, b) => a + b);
      const without = encoded.map((steps) => {
        const others = weighted(steps, rest).map((x) => x / total);
        return steps.map((step, t) => step.map((x, i) => x + heard[t][p] * (others[i] - x)));
      });
      classify(model, without).logits.forEach((x, i) => { sums[p][i] += x; });
    });
    logits.forEach((x, i) => { sums.at(-1)[i] += x; });
  }
  const best = labels.indexOf(nearest);
  const odds = sums.map((sum) => {
    const scaled = calibrated(model, sum, seen.length);
    const rivals = scaled.filter((_, i) => i !== best);
    return scaled[best] - rivals[0] - Math.log(rivals.reduce((total, x) => total + Math.exp(x - rivals[0]), 0));
  });
  const { hop_seconds: hop, frames_a_step: each } = model.config;
  const seconds = mean(seen.map((x) => mean(x.heard))).map((share) => share * logMels.length * hop);
  return model.phones.map((phone, p) => ({ phone, ipa: model.ipa[p], seconds: seconds[p], reason: odds.at(-1) - odds[p] }))
    .filter((x) => x.seconds >= each * hop).sort((a, b) => b.reason - a.reason);
}

// ---- plots.place_beside: the five voices that are nearest by cosine, first the one that on the map is closest to the others

function neighbours({ voices }, embedding) {
  const unit = (x) => x.map((v) => v / Math.sqrt(dot(x, x)));
  const own = unit(embedding);
  const cosines = range(voices.embeddings.shape[0]).map((i) => dot(own, unit(row(voices.embeddings, i))));
  const five = range(cosines.length).sort((i, j) => cosines[j] - cosines[i]).slice(0, 5);
  const apart = (i) => five.reduce((sum, j) => sum + Math.hypot(voices.x[i] - voices.x[j], voices.y[i] - voices.y[j]), 0);
  return { five, place: five.reduce((best, i) => (apart(i) < apart(best) ? i : best)) };
}

// What the page draws: log-mels, and for each step when it begins (s), its attention, and the phone heard in it.
function picture({ config, ipa }, { logMels, seen }) {
  const steps = seen.flatMap(({ start, pools, heard, encoded }, w) => {
    const seconds = (t) => (start + t * config.frames_a_step) * config.hop_seconds;
    const relative = config.pooling_method === "Phones" ? [] : attention(pools); // by phones all steps count alike
    const phone = (t) => heard[t] && ipa[heard[t].indexOf(heard[t].reduce((a, b) => Math.max(a, b)))];
    return encoded[0].map((_, t) => ({ seconds: seconds(t), attention: relative[t], phone: phone(t) }))
      .filter((step) => step.seconds < (seen[w + 1]?.start ?? Infinity) * config.hop_seconds); // windows overlap
  });
  return { logMels, steps, seconds: logMels.length * config.hop_seconds };
}

// ---- the model of a page, and a worker's messages

function tensor({ shape, half, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (x) => x.charCodeAt(0));
  if (!half) return { shape, data: new Float32Array(bytes.buffer) };
  const number = (bits) => { // of a 16-bit float
    const [sign, power, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, (bits & 1023) / 1024];
    return power === 31 ? sign * Infinity : sign * (power ? (1 + fraction) * 2 ** (power - 15) : fraction * 2 ** -14);
  };
  return { shape, data: Float32Array.from(new Uint16Array(bytes.buffer), number) };
}

function loadModel(content) {
  const tensors = (of) => of && Object.fromEntries(Object.entries(of).map(([name, x]) => [name, x?.base64 === undefined ? x : tensor(x)]));
  const networks = content.networks.map((weights) => new AccentNet(content.config, tensors(weights)));
  return { ...content, networks, familiar: tensors(content.familiar), voices: tensors(content.voices) };
}

let model;
globalThis.onmessage = ({ data: { content, id, wave, rate } }) => {
  try {
    if (content) model = loadModel(content);
    if (content) return postMessage({ ready: true });
    const found = infer(model, resample(wave, rate, model.config.sample_rate));
    const { seen, logMels, ...answer } = found;
    if (model.voices) answer.neighbours = neighbours(model, answer.embedding);
    postMessage({ id, answer: { ...answer, picture: picture(model, found) } });
    if (model.phones.length) postMessage({ id, reasons: explain(model, found) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
