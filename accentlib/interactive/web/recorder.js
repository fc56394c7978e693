// Record or upload a clip: float32 samples, mono, for Python or for a page.
const SHORTEST = 0.5; // s
const LONGEST = 30; // s; at a message of 10 MiB (54 s) Jupyter's server drops the connection to the kernel
const SILENT = 0.003; // largest sample of a silent microphone
const AS_IT_IS = { echoCancellation: false, noiseSuppression: false, autoGainControl: false }; // made for calls, they change speech
const TOO_LONG = 600; // s; decoded at once, an hour would fill the memory

function duration(url) { // of a file in s, as its header says
  return new Promise((resolve) => {
    const audio = new Audio(url);
    audio.onloadedmetadata = () => resolve(audio.duration);
    audio.onerror = () => resolve(0);
  });
}

function render({ model, el }) {
  el.innerHTML = `
    <div style="display:flex; flex-wrap:wrap; gap:.6rem; align-items:center">
      <button type="button" class="record" style="font:inherit; padding:.3rem 1rem">Record</button>
      <label>or upload: <input type="file" accept="audio/*" aria-label="Upload a recording"></label>
      <meter max="1" aria-label="Loudness" hidden></meter>
      <audio controls hidden></audio>
    </div>
    <p role="status" style="margin:.4rem 0"></p>`;
  const [button, input, meter, player, status] = ["button", "input", "meter", "audio", "p"].map((name) => el.querySelector(name));
  const say = (text) => { status.textContent = text; };
  let recorder, timer, asking = false;

  async function use(blob, name) {
    const url = URL.createObjectURL(blob);
    const seconds = await duration(url);
    if (Number.isFinite(seconds) && seconds > TOO_LONG) { // a recording just made says Infinity
      return say(`${name} lasts ${Math.round(seconds / 60)} minutes; choose at most ${TOO_LONG / 60}, of which the first ${LONGEST} s are heard.`);
    }
    const context = new AudioContext({ sampleRate: model.get("rate") });
    let audio;
    try {
      audio = await context.decodeAudioData(await blob.arrayBuffer());
    } catch {
      return say(`${name} is not audio that this browser reads; use WAV, FLAC, MP3 or Ogg.`);
    } finally {
      context.close();
    }
    const wave = new Float32Array(Math.min(audio.length, LONGEST * audio.sampleRate));
    for (let c = 0; c < audio.numberOfChannels; c++) {
      const channel = audio.getChannelData(c);
      for (let i = 0; i < wave.length; i++) wave[i] += channel[i] / audio.numberOfChannels;
    }
    if (audio.duration < SHORTEST) return say(`${name} lasts ${audio.duration.toFixed(1)} s; say a sentence or two.`);
    if (wave.every((x) => Math.abs(x) < SILENT)) return say(`${name} is silent. Is the right microphone selected, and loud enough?`);
    player.src = url;
    player.hidden = false;
    model.set("samples", new DataView(wave.buffer));
    model.save_changes();
    const length = audio.length > wave.length ? `the first ${LONGEST} of ${audio.duration.toFixed(0)} s` : `${audio.duration.toFixed(1)} s`;
    say(`${name}: ${length}. ${model.get("next")}`);
  }

  async function start() {
    if (!navigator.mediaDevices) return say("Browsers allow the microphone on https and localhost only. Upload a file instead.");
    let stream;
    asking = true; // a second press would start a second recording that nothing stops
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
    } catch (error) {
      return say(error.name === "NotFoundError"
        ? "No microphone was found. Upload a file instead."
        : "The browser refused the microphone. Allow it beside the address, or upload a file.");
    } finally {
      asking = false;
    }
    recorder = new MediaRecorder(stream);
    const parts = [];
    const began = performance.now();
    const seconds = () => Math.round((performance.now() - began) / 1000);
    recorder.ondataavailable = (event) => parts.push(event.data);
    const hearing = new AudioContext();
    const analyser = hearing.createAnalyser();
    hearing.createMediaStreamSource(stream).connect(analyser);
    const wave = new Float32Array(analyser.fftSize);
    meter.hidden = false;
    recorder.onstop = () => {
      clearInterval(timer);
      hearing.close();
      meter.hidden = true;
      stream.getTracks().forEach((track) => track.stop());
      button.textContent = "Record";
      use(new Blob(parts, { type: recorder.mimeType }), "Your recording");
    };
    recorder.start();
    button.textContent = "Stop";
    say("Recording… 0 s");
    timer = setInterval(() => {
      say(`Recording… ${seconds()} s`);
      analyser.getFloatTimeDomainData(wave);
      meter.value = 2 * wave.reduce((most, x) => Math.max(most, Math.abs(x)), 0); // full: half of what clips
      if (seconds() >= LONGEST) recorder.stop();
    }, 100);
  }

  button.addEventListener("click", () => {
    if (recorder?.state === "recording") recorder.stop();
    else if (!asking) start();
  });
  input.addEventListener("change", () => input.files.length && use(input.files[0], input.files[0].name));
  return () => { if (recorder?.state === "recording") recorder.stop(); };
}

export default { render };
