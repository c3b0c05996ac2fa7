const field = document.getElementById("search");
if (field) {
  const rows = [...document.querySelectorAll("tr[data-words]")];
  const count = document.getElementById("found");
  const find = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.words.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${rows.length}`;
  };
  field.addEventListener("input", find);
  find();
}
