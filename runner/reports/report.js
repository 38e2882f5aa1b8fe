for (const plot of document.querySelectorAll(".plots")) {
  const line = plot.querySelector(".cursor");
  const axis = plot.querySelector(".axis svg");
  plot.addEventListener("pointermove", (event) => {
    const box = axis.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    line.hidden = share < 0 || share > 1;
    line.style.left = event.clientX - plot.getBoundingClientRect().left + "px";
    line.textContent = (share * plot.dataset.seconds).toFixed(2) + " s";
  });
  plot.addEventListener("pointerleave", () => { line.hidden = true; });
}
