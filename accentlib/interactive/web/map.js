// What the page adds to Bokeh's points: colours, legend, keys, and the chosen clip.
"use strict";
(async () => {
  const element = (id) => document.getElementById(id);
  const { places, groups, clips, calibrated } = JSON.parse(element("map-content").textContent);
  const answer = ({ predicted, probability: p }) =>
    calibrated ? `${predicted}, probability ${Math.round(100 * p)} %` : `${predicted}, score ${p.toFixed(2)} (not calibrated)`;
  await Bokeh.embed.embed_item(JSON.parse(element("plot-content").textContent), "plot");
  const figure = Bokeh.documents[0].roots()[0];
  const points = figure.renderers[0].data_source;
  const shown = figure.renderers[0].view.filter;
  const shapes = {
    circle: "M8 2a6 6 0 1 0 .01 0z", square: "M2 2h12v12H2z", diamond: "M8 1l5 7-5 7-5-7z", triangle: "M8 2l7 12H1z",
    star: "M8 0l2 6h6l-5 4 2 6-5-4-5 4 2-6-5-4h6z", inverted_triangle: "M8 14l7-12H1z", plus: "M6 1h4v5h5v4h-5v5H6v-5H1V6h5z",
    hex: "M4 2h8l4 6-4 6H4L0 8z", asterisk: "M7 0h2v16H7zM0 7h16v2H0z", x: "M3 1l5 5 5-5 2 2-5 5 5 5-2 2-5-5-5 5-2-2 5-5-5-5z",
  };
  const marker = (i) => Object.keys(shapes)[i % 10];
  const hidden = new Set(); // hidden kinds of the current colouring

  function colour() {
    const group = groups[element("colour").value];
    points.data.colour = group.of.map((i) => group.colours[i]);
    points.data.marker = group.of.map(marker);
    points.change.emit();
    hidden.clear();
    element("legend").replaceChildren(...group.kinds.map((kind, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${shapes[marker(i)]}" fill="${group.colours[i]}"/></svg>`;
      const count = group.of.filter((j) => j === i).length;
      button.append(`${kind} (${count})`);
      button.addEventListener("click", () => {
        hidden.has(i) ? hidden.delete(i) : hidden.add(i);
        button.setAttribute("aria-pressed", String(!hidden.has(i)));
        filter();
      });
      return button;
    }));
    filter();
  }

  function filter() {
    shown.booleans = groups[element("colour").value].of.map((i) => !hidden.has(i));
  }

  function project() {
    const place = places[element("projection").value];
    points.data.x = place.x;
    points.data.y = place.y;
    points.change.emit();
    element("caption").textContent = place.caption;
  }

  function draw(clip) {
    const svg = element("attention");
    const steps = clip.attention ?? [];
    const top = Math.max(2, ...steps) * 1.1;
    svg.setAttribute("viewBox", `0 0 ${steps.length || 1} 1`);
    const dark = steps.map((a, i) =>
      `<rect x="${i}" y="0" width="1.02" height="1" fill="black" opacity="${0.65 * Math.max(0, 1 - a)}"/>`);
    const line = steps.map((a, i) => `${i},${1 - a / top} ${i + 1},${1 - a / top}`).join(" ");
    svg.innerHTML = `${dark.join("")}<polyline points="${line}" fill="none" stroke="white" stroke-width="2" vector-effect="non-scaling-stroke"/>`;
    const picture = element("picture");
    picture.parentElement.parentElement.hidden = !clip.picture;
    if (clip.picture) picture.src = clip.picture;
    element("seconds").textContent = `${clip.seconds} s`;
    element("legend-attention").textContent = steps.length
      ? "Bright: frames that the network attends to. White line: its attention, all heads together."
      : "This network pools without attention.";
  }

  let chosen = -1;
  function choose(index, play) {
    if (index !== chosen) {
      chosen = index;
      const clip = clips[index];
      element("hint").hidden = true;
      element("details").hidden = false;
      element("name").textContent = clip.name;
      element("words").textContent = [clip.accent, `speaker ${clip.speaker}`, clip.split].filter(Boolean).join(" · ");
      element("answer").textContent = `Predicted: ${answer(clip)}`;
      element("trouble").textContent = clip.audio ? "" : clip.link
        ? "The page has no room for this clip: it is played from its file."
        : "This clip has no recording, only features.";
      draw(clip);
      element("audio").hidden = !(clip.audio ?? clip.link);
      if (element("audio").hidden) element("audio").removeAttribute("src");
      else element("audio").src = clip.audio ?? clip.link;
    }
    points.selected.indices = [index];
    if (play && !element("audio").hidden) {
      element("audio").currentTime = 0;
      element("audio").play().catch(() => {}); // the error event tells what is wrong
    }
  }

  // The nearest shown point within 45 degrees of the key's direction. Every point can be reached: each press of the key
  // nearest to its direction shortens |x| + |y| to it. The shifts, below the page's four decimals, put coinciding points
  // and points at exactly 45 degrees in one direction each.
  function beside(dx, dy) {
    const { x, y } = points.data;
    const free = clips.map((_, i) => i).filter((i) => shown.booleans[i]);
    if (chosen < 0 || !shown.booleans[chosen]) return free[0];
    let best = chosen, least = Infinity;
    for (const i of free) {
      const [a, b] = [x[i] - x[chosen] + 1e-9 * (i - chosen), y[i] - y[chosen]];
      const along = a * dx + b * dy;
      const far = Math.hypot(a, b);
      if (along > Math.abs(a * dy + b * dx) && far < least) [best, least] = [i, far];
    }
    return best;
  }

  element("plot").addEventListener("keydown", (event) => {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key in directions) {
      const next = beside(...directions[event.key]);
      if (next !== undefined) choose(next, false);
    } else if (event.key === "Enter" && chosen >= 0) {
      choose(chosen, true);
    } else return;
    event.preventDefault();
  });
  figure.on_event("tap", ({ x, y }) => { // Bokeh has already selected all points under the pointer
    const far = (i) => Math.hypot(points.data.x[i] - x, points.data.y[i] - y);
    const [index] = [...points.selected.indices].sort((i, j) => far(i) - far(j));
    if (index !== undefined) choose(index, true);
  });
  element("audio").addEventListener("error", () => {
    element("trouble").textContent = clips[chosen].link
      ? `The file ${decodeURIComponent(clips[chosen].link)} is missing, or this browser cannot play it.`
      : "This browser cannot play Opus in Ogg; try another one.";
  });
  element("audio").addEventListener("timeupdate", () => {
    element("now").style.left = `${(100 * element("audio").currentTime) / clips[chosen].seconds}%`;
  });

  points.data.name = clips.map((clip) => clip.name);
  points.data.words = clips.map((clip) => [clip.accent, clip.speaker, clip.split].filter(Boolean).join(", "));
  points.data.answer = clips.map(answer);
  for (const [id, names, act] of [["colour", groups, colour], ["projection", places, project]]) {
    element(id).replaceChildren(...Object.keys(names).map((name) => new Option(name)));
    element(id).addEventListener("change", act);
    act();
  }
  document.body.dataset.ready = String(Math.round(performance.now()));
})();
