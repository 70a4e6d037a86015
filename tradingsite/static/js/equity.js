// Draws the equity curve from the figures in the page; they are also there as a table for those who cannot see it.
(() => {
  "use strict";
  const box = document.getElementById("equity-chart");
  if (!box || !window.LightweightCharts) return;
  const { createChart, AreaSeries, LineStyle } = window.LightweightCharts;
  const read = document.getElementById("equity-read");

  // light-dark() resolves only where a colour is used, so a probe is asked.
  function colour(name) {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    probe.hidden = true;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  }
  const faded = (rgb, alpha) => rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
  const money = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  function points() {
    const source = document.getElementById("equity-data");
    const rows = source ? JSON.parse(source.textContent) : [];
    const kept = [];
    for (const [time, value] of rows) {
      // The chart wants one value a second, rising; the last of a second is the one that counts.
      if (kept.length && kept[kept.length - 1].time >= time) kept.pop();
      kept.push({ time, value });
    }
    return kept;
  }

  const chart = createChart(box, {
    autoSize: true,
    // Its logo brings an inline style that the site's policy refuses; the footer carries the notice.
    layout: { attributionLogo: false, fontSize: 11 },
    rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.14, bottom: 0.1 } },
    timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, fixLeftEdge: true, fixRightEdge: true },
    handleScroll: { vertTouchDrag: false, mouseWheel: false },
    handleScale: { mouseWheel: false },
    localization: { priceFormatter: (value) => money.format(value) },
  });
  const series = chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: false, lastValueVisible: true });
  let start = null;

  function paint() {
    const accent = colour("--accent");
    const line = colour("--line");
    const font = getComputedStyle(document.body).fontFamily;
    chart.applyOptions({
      layout: { background: { color: "transparent" }, textColor: colour("--text-faint"), fontFamily: font },
      grid: { vertLines: { visible: false }, horzLines: { color: line } },
      crosshair: {
        vertLine: { color: colour("--line-strong"), labelBackgroundColor: colour("--text-soft") },
        horzLine: { visible: false, labelVisible: false },
      },
    });
    series.applyOptions({ lineColor: accent, topColor: faded(accent, 0.18), bottomColor: faded(accent, 0) });
    if (start) start.applyOptions({ color: colour("--line-strong") });
  }

  let drawn = "";
  function draw() {
    const data = points();
    const text = JSON.stringify(data);
    if (text === drawn || data.length < 2) return;
    const first = drawn === "";
    drawn = text;
    series.setData(data);
    const base = Number(box.dataset.start);
    if (base && !start) {
      start = series.createPriceLine({ price: base, lineWidth: 1, lineStyle: LineStyle.Dashed, axisLabelVisible: false, color: colour("--line-strong") });
    }
    if (first) chart.timeScale().fitContent();
  }

  const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  chart.subscribeCrosshairMove((event) => {
    if (!read) return;
    const value = event.seriesData.get(series)?.value;
    read.textContent = value === undefined ? "" : `${money.format(value)} at ${when.format(new Date(event.time * 1000))} UTC`;
  });

  document.addEventListener("desk:theme", paint);
  document.addEventListener("htmx:after:swap", draw);
  paint();
  draw();
})();
