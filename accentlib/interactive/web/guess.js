// Listen, and guess by buttons; Python gets the guesses.
function render({ model, el }) {
  const clips = model.get("clips"), choices = model.get("choices");
  for (let i = 0; i < clips.length; i++) {
    const row = document.createElement("div");
    row.style = "display:flex; flex-wrap:wrap; gap:.3rem; align-items:center; margin:.3rem 0";
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", `clip ${i + 1}`);
    row.append(`${i + 1}`, Object.assign(new Audio(`data:audio/ogg;base64,${clips[i]}`), { controls: true }));
    const buttons = choices.map((name) => Object.assign(document.createElement("button"), { type: "button", textContent: name }));
    const show = () => buttons.forEach((b) => b.setAttribute("aria-pressed", model.get("answers")[i] === b.textContent));
    for (const button of buttons) {
      button.style.font = "inherit";
      button.onclick = () => {
        const answers = [...model.get("answers")];
        answers[i] = button.textContent;
        model.set("answers", answers);
        model.save_changes();
        buttons.forEach((b) => { b.style.fontWeight = b === button ? "bold" : "normal"; });
        show();
      };
      row.append(button);
    }
    show();
    el.append(row);
  }
}
export default { render };
