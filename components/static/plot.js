/* The large chart: <figure data-plot='{"metric": …, "over": "version", "series": [{"name", "place", "x", "y"}], "marks":
   [{"x", "name"}], "band": {"low", "high", "name"}}'>. Draws it with uPlot in place of the SVG: crosshair with values, zoom,
   keys, PNG. Dashes and marks tell the series apart as in the SVG; colours are those of the theme. */
(() => {
  const HEIGHT = 288;
  const DASH = [[6, 4], [], [2, 3], [9, 3, 2, 3]];
  const MARKS = 24;
  const root = document.documentElement;
  const shown = new Map();
  const number = (value) => {
    const size = Math.abs(value);
    if (size && (size < 1e-4 || size >= 1e12)) return value.toExponential(2).replace("-", "−");
    return value.toLocaleString("en", { maximumSignificantDigits: 6 }).replace("-", "−");
  };
  const capital = (word) => word[0].toUpperCase() + word.slice(1);

  const start = (figure) => {
    const told = JSON.parse(figure.dataset.plot);
    const of = (name) => figure.querySelector(`[data-plot-${name}]`);
    const area = of("area");
    const outputs = [...figure.querySelectorAll("[data-plot-value]")];
    const doing = (name) => figure.querySelector(`[data-plot-do="${name}"]`);
    const data = told.series.length > 1
      ? uPlot.join(told.series.map((each) => [each.x, each.y]))
      : [told.series[0].x, told.series[0].y];
    const xs = data[0];
    const finite = data.slice(1).flat().filter((value) => value != null);
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    of("log").parentNode.hidden = !(low > 0 && high / low >= 100);
    const pad = Math.max(0.5, (xs.at(-1) - xs[0]) * 0.02);
    const full = [xs[0] - pad, xs.at(-1) + pad];
    let chart;
    let isLog = false;
    let current = null;

    const css = (name, from = root) => getComputedStyle(from).getPropertyValue(name).trim();
    const colour = (place) => {
      const probe = document.createElement("i");
      probe.className = `series-${place}`;
      figure.append(probe);
      const found = css("--series", probe);
      probe.remove();
      return found;
    };

    /* The value of a series at a place, or the nearest one where it has none there; null is a gap. */
    const nearest = (values, at) => {
      for (let off = 0; off < values.length; off += 1) {
        for (const place of [at - off, at + off]) if (values[place] !== undefined) return place;
      }
      return at;
    };
    const values = (at) => data.slice(1).map((ys) => {
      const place = nearest(ys, at);
      const said = ys[place] == null ? "no number" : number(ys[place]);
      return place === at ? said : `${said} (${told.over} ${xs[place].toLocaleString("en")})`;
    });
    const place = (at) => {
      const names = told.marks.filter((mark) => mark.x === xs[at]).map((mark) => mark.name);
      return [`${capital(told.over)} ${xs[at].toLocaleString("en")}`, ...names].join(", ");
    };
    const follow = (u) => {
      const at = u.cursor.idx;
      const is = at != null && u.cursor.left >= 0;
      current = is ? at : null;
      of("place").textContent = is ? place(at) : "";
      const found = is ? values(at) : [];
      outputs.forEach((output, n) => { output.textContent = found[n] ?? ""; });
    };

    const isZoomed = (u) => u.scales.x.min > full[0] + 1e-9 || u.scales.x.max < full[1] - 1e-9;
    const zoomed = (u, key) => {
      if (key === "x") doing("reset").hidden = !isZoomed(u);
      if (key !== "y") return;
      const { min, max } = u.scales.y;
      of("axis").textContent = isLog ? "The axis is logarithmic."
        : min <= 0 && max >= 0 ? "" : `The axis starts at ${number(Number(min.toPrecision(4)))}, not at zero.`;
    };
    const zoom = (factor) => {
      const { min, max } = chart.scales.x;
      const middle = current == null ? (min + max) / 2 : xs[current];
      const width = (max - min) * factor;
      if (factor < 1 && width < (full[1] - full[0]) / 1000) return;
      const from = Math.max(full[0], middle - (middle - min) * factor);
      chart.setScale("x", { min: from, max: Math.min(full[1], from + width) });
    };
    const reset = () => chart.setScale("x", { min: full[0], max: full[1] });
    /* Two fingers: what was under them stays under them. One finger scrolls the page; a tap shows the values. */
    const pinch = (over) => {
      let held = null;
      const places = ({ touches }) => [...touches].map((touch) => touch.clientX - over.getBoundingClientRect().left);
      over.addEventListener("touchstart", (event) => {
        held = event.touches.length === 2 ? places(event).map((left) => chart.posToVal(left, "x")) : null;
      }, { passive: true });
      over.addEventListener("touchmove", (event) => {
        if (!held || event.touches.length !== 2) return;
        event.preventDefault();
        const [one, other] = places(event);
        const all = full[1] - full[0];
        const width = Math.min(all, (held[0] - held[1]) / (one - other) * over.clientWidth);
        if (!(width > all / 1000)) return; /* fingers on one place, or crossed */
        const from = Math.max(full[0], Math.min(full[1] - width, held[0] - one / over.clientWidth * width));
        chart.setScale("x", { min: from, max: from + width });
      }, { passive: false });
    };

    /* --- What uPlot does not draw: the band, marks at places, and the marks of the lines */
    const paint = (u) => {
      const { ctx, bbox } = u;
      const ratio = devicePixelRatio;
      const [grey, green] = [css("--cs-grey"), css("--cs-green")];
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.font = `${12 * ratio}px ${getComputedStyle(area).fontFamily}`;
      if (told.band) {
        const [top, bottom] = [told.band.high, told.band.low].map((value) => u.valToPos(value, "y", true));
        ctx.fillStyle = grey;
        ctx.globalAlpha = 0.14;
        ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
        ctx.globalAlpha = 1;
        ctx.strokeStyle = grey;
        ctx.lineWidth = ratio;
        ctx.setLineDash([3 * ratio, 3 * ratio]);
        for (const y of [top, bottom]) {
          ctx.beginPath();
          ctx.moveTo(bbox.left, y);
          ctx.lineTo(bbox.left + bbox.width, y);
          ctx.stroke();
        }
      }
      told.marks.forEach((mark, n) => {
        const x = u.valToPos(mark.x, "x", true);
        ctx.strokeStyle = ctx.fillStyle = green;
        ctx.lineWidth = ratio;
        ctx.setLineDash([3 * ratio, 3 * ratio]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        const isRight = x > bbox.left + bbox.width * 0.7;
        ctx.textAlign = isRight ? "right" : "left";
        ctx.fillText(mark.name, x + (isRight ? -5 : 5) * ratio, bbox.top + (14 + 15 * (n % 2)) * ratio);
      });
      ctx.restore();
      ctx.save();
      ctx.setLineDash([]);
      told.series.forEach((each, n) => {
        const [from, to] = u.series[0].idxs;
        const seen = [];
        for (let at = from; at <= to; at += 1) if (data[n + 1][at] != null) seen.push(at);
        const every = Math.max(1, Math.ceil(seen.length / (told.series.length > 1 ? MARKS / 2 : MARKS * 3)));
        ctx.fillStyle = ctx.strokeStyle = colour(each.place);
        ctx.lineWidth = 1.75 * ratio;
        seen.filter((_, at) => at % every === 0 || at === seen.length - 1).forEach((at) => {
          const [x, y] = [u.valToPos(xs[at], "x", true), u.valToPos(data[n + 1][at], "y", true)];
          const r = 3.6 * ratio;
          ctx.beginPath();
          if (each.place === 0) {
            ctx.rect(x - r, y - r, 2 * r, 2 * r);
            ctx.save();
            ctx.fillStyle = css("--tblr-bg-surface");
            ctx.fill();
            ctx.restore();
            ctx.stroke();
            return;
          }
          if (each.place === 1) ctx.arc(x, y, r, 0, 2 * Math.PI);
          else {
            const corners = each.place === 2 ? [[0, -1.25], [1.2, 1], [-1.2, 1]] : [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]];
            corners.forEach(([dx, dy], corner) => ctx[corner ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
            ctx.closePath();
          }
          ctx.fill();
        });
      });
      ctx.restore();
    };

    const options = () => {
      const [text, line] = [css("--tblr-secondary-color"), css("--tblr-border-color")];
      const font = `12px ${getComputedStyle(area).fontFamily}`;
      const axis = { stroke: text, font, ticks: { show: false }, grid: { stroke: line, width: 1 } };
      return {
        width: area.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        scales: {
          x: { time: false, range: (_, min, max) => (min == null ? full : [Math.max(min, full[0]), Math.min(max, full[1])]) },
          y: {
            distr: isLog ? 3 : 1,
            range: isLog ? undefined : (_, min, max) => {
              // In sight as long as all values are.
              const band = told.band && min === low && max === high ? [told.band.low, told.band.high] : [];
              return uPlot.rangeNum(Math.min(min, ...band), Math.max(max, ...band), 0.08, false);
            },
          },
        },
        axes: [
          { ...axis, size: 30, grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7, 1e8, 1e9],
            values: (_, splits) => splits.map((at) => (Number.isInteger(at) && at >= xs[0] && at <= xs.at(-1) ? at.toLocaleString("en") : "")) },
          { ...axis, size: 64, values: (_, splits) => splits.map((value) => (value == null ? "" : number(value))) },
        ],
        series: [{}, ...told.series.map(({ name, place }) => ({
          label: name, stroke: colour(place), dash: DASH[place], width: 1.75, points: { show: false },
        }))],
        cursor: { y: false, drag: { x: true, y: false }, points: { size: 9, width: 2 } },
        hooks: { draw: [paint], setCursor: [follow], setScale: [zoomed] },
      };
    };
    const draw = () => {
      chart?.destroy();
      chart = new uPlot(options(), data, area);
      chart.over.addEventListener("dblclick", reset);
      pinch(chart.over);
      reset();
    };

    /* --- Keys and buttons */
    const go = (at) => {
      const to = Math.max(0, Math.min(xs.length - 1, at));
      current = to;
      const { min, max } = chart.scales.x;
      if (xs[to] < min || xs[to] > max) {
        const from = Math.max(full[0], Math.min(full[1] - (max - min), xs[to] - (max - min) / 2));
        chart.setScale("x", { min: from, max: from + max - min });
      }
      requestAnimationFrame(() => {
        chart.setCursor({ left: chart.valToPos(xs[to], "x"), top: HEIGHT / 2 });
        of("said").textContent = `${place(to)}: ${values(to).map((value, n) => (told.series.length > 1 ? `${told.series[n].name} ${value}` : value)).join(", ")}`;
      });
    };
    const stride = (event) => (event.shiftKey ? Math.max(1, Math.round(xs.length / 20)) : 1);
    const keys = {
      ArrowRight: (event) => go(current == null ? 0 : current + stride(event)),
      ArrowLeft: (event) => go(current == null ? xs.length - 1 : current - stride(event)),
      Home: () => go(0),
      End: () => go(xs.length - 1),
      "+": () => zoom(0.5),
      "=": () => zoom(0.5),
      "-": () => zoom(2),
      0: reset,
      Escape: reset,
    };
    area.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key](event);
    });
    const png = () => {
      const source = chart.ctx.canvas;
      const ratio = source.width / chart.width;
      const lines = [...figure.querySelectorAll(".plot-head .legend > li:not(.plot-place)")].map((item) => item.textContent.trim());
      const canvas = document.createElement("canvas");
      canvas.width = source.width;
      canvas.height = source.height + (40 + 18 * lines.length) * ratio;
      const ctx = canvas.getContext("2d");
      ctx.fillStyle = css("--tblr-bg-surface");
      ctx.fillRect(0, 0, canvas.width, canvas.height);
      ctx.drawImage(source, 0, 32 * ratio);
      ctx.fillStyle = css("--tblr-body-color");
      const font = getComputedStyle(area).fontFamily;
      ctx.font = `600 ${14 * ratio}px ${font}`;
      ctx.fillText(`${told.metric} by ${told.over}`, 12 * ratio, 22 * ratio);
      ctx.font = `${12 * ratio}px ${font}`;
      lines.forEach((line, n) => {
        const y = source.height + (46 + 18 * n) * ratio;
        const each = told.series[n];
        if (each && told.series.length > 1) {
          ctx.strokeStyle = colour(each.place);
          ctx.lineWidth = 2 * ratio;
          ctx.setLineDash(DASH[each.place].map((length) => length * ratio));
          ctx.beginPath();
          ctx.moveTo(12 * ratio, y - 4 * ratio);
          ctx.lineTo(44 * ratio, y - 4 * ratio);
          ctx.stroke();
        }
        ctx.fillText(line, 52 * ratio, y);
      });
      canvas.toBlob((blob) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = `${told.metric.replace(/[^\w.-]+/g, "-")}-by-${told.over}.png`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      });
    };
    doing("in").addEventListener("click", () => zoom(0.5));
    doing("reset").addEventListener("click", () => {
      reset();
      area.focus(); // the button goes
    });
    doing("png").addEventListener("click", png);
    of("log").addEventListener("change", ({ target }) => { isLog = target.checked; draw(); });

    of("still").hidden = true;
    of("live").hidden = false;
    draw();
    new ResizeObserver(() => {
      if (area.clientWidth && area.clientWidth !== chart.width) chart.setSize({ width: area.clientWidth, height: HEIGHT });
    }).observe(area);
    shown.set(figure, draw);
  };

  const all = () => {
    for (const figure of shown.keys()) if (!figure.isConnected) shown.delete(figure);
    document.querySelectorAll("[data-plot]").forEach((figure) => shown.has(figure) || start(figure));
  };
  new MutationObserver(() => shown.forEach((draw, figure) => figure.isConnected && draw())).observe(root, { attributeFilter: ["data-bs-theme", "data-theme"] });
  document.addEventListener("htmx:afterSwap", all);
  all();
})();
