// Pictures behind a slider.
function render({ model, el }) {
  const [values, pictures, name] = ["values", "pictures", "name"].map((key) => model.get(key));
  el.innerHTML = `
    <label style="display:flex; gap:.6rem; align-items:center">
      <span class="name"></span><input type="range" min="0" max="${values.length - 1}"><output></output>
    </label>
    <img style="max-width:100%">`;
  const [label, knob, shown, picture] = [".name", "input", "output", "img"].map((kind) => el.querySelector(kind));
  const show = () => {
    shown.textContent = values[knob.value];
    picture.src = `data:image/png;base64,${pictures[knob.value]}`;
    picture.alt = `${name}: ${values[knob.value]}`;
  };
  label.textContent = name;
  knob.value = model.get("place");
  knob.addEventListener("input", show);
  show();
}
export default { render };
