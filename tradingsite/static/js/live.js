// Keeps a page's panels current. Sockets say that something happened; the panels are fetched from the server, so what
// is shown is always what the database holds. Where no socket can be had, the panels are fetched slowly instead.
//
// An element with `data-live` (socket paths, space-separated) and `data-live-panels` (the id of the part to refresh) is
// the page's live client. `data-live-seq` is the number of the newest event that the rendered page already shows;
// `data-live-poll` is how often, in milliseconds, to look for what no socket tells; `data-live-types` names the only
// messages that change anything here, of sockets that tell of much else.
(() => {
  "use strict";

  const FIRST_RETRY_MS = 500;
  const LAST_RETRY_MS = 15000;
  const POLL_CONNECTED_MS = 10000;
  const POLL_ALONE_MS = 5000;
  const REFRESH_GAP_MS = 400;
  const UNAUTHENTICATED = 4401;
  const FORBIDDEN = 4403;

  const host = document.querySelector("[data-live]");
  if (!host) return;
  const panels = document.getElementById(host.dataset.livePanels);
  const label = document.querySelector("[data-live-label]");
  const types = host.dataset.liveTypes?.split(" ");
  const pollMs = Number(host.dataset.livePoll ?? POLL_CONNECTED_MS);
  const words = { open: "Live", polling: "Updating every few seconds", offline: "Not updating", final: "Finished" };

  const isFinal = () => panels.querySelector("[data-live-final]") !== null;

  class Feed {
    // One socket that reconnects with backoff and asks for what it missed by number.
    constructor(path, seq, onEvent, onState) {
      this.path = path;
      this.seq = seq;
      this.known = seq !== null;
      this.onEvent = onEvent;
      this.onState = onState;
      this.attempts = 0;
      this.isOpen = false;
      this.isOver = false;
      this.connect();
    }

    connect() {
      clearTimeout(this.retry);
      const scheme = location.protocol === "https:" ? "wss:" : "ws:";
      const socket = new WebSocket(`${scheme}//${location.host}${this.path}`);
      this.socket = socket;
      socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
      socket.addEventListener("close", (event) => this.closed(socket, event.code));
    }

    receive(message) {
      if (message.type === "hello") {
        this.attempts = 0;
        this.isOpen = true;
        this.onState();
        // A page rendered without a number takes the present as its start; one with a number asks for the difference.
        if (!this.known) this.seq = message.seq;
        else if (message.seq > this.seq) this.socket.send(JSON.stringify({ type: "replay", after: this.seq }));
        this.known = true;
        return;
      }
      if (message.type === "error") return;
      if (message.type === "gap" || message.type === "resync") {
        this.seq = Math.max(this.seq, message.seq);
        this.onEvent(message);
        return;
      }
      if (message.seq <= this.seq) return;
      this.seq = message.seq;
      this.onEvent(message);
    }

    closed(socket, code) {
      if (socket !== this.socket || this.isOver) return;
      this.isOpen = false;
      this.onState();
      if (code === UNAUTHENTICATED) {
        location.reload();
        return;
      }
      if (code === FORBIDDEN) {
        this.isOver = true;
        return;
      }
      const wait = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempts);
      this.attempts += 1;
      // Jitter, so that a restarted server is not met by every page at once.
      this.retry = setTimeout(() => this.connect(), wait * (0.7 + Math.random() * 0.6));
    }

    hurry() {
      if (this.isOpen || this.isOver || this.socket.readyState === WebSocket.CONNECTING) return;
      this.attempts = 0;
      this.connect();
    }

    end() {
      this.isOver = true;
      clearTimeout(this.retry);
      this.socket.close();
    }
  }

  let offline = false;
  let refreshing = false;
  let wanted = false;
  let timer = null;
  let poll = null;

  function show() {
    let state = feeds.length > 0 && feeds.every((feed) => feed.isOpen) ? "open" : "polling";
    if (offline) state = "offline";
    if (isFinal()) state = "final";
    if (!label) return;
    label.hidden = false;
    label.dataset.state = state;
    label.textContent = words[state];
  }

  function refresh() {
    wanted = false;
    refreshing = true;
    panels.dispatchEvent(new CustomEvent("desk:refresh"));
  }

  function soon() {
    wanted = true;
    if (timer || refreshing) return;
    timer = setTimeout(() => {
      timer = null;
      refresh();
    }, REFRESH_GAP_MS);
  }

  function schedulePoll() {
    clearTimeout(poll);
    if (isFinal()) return;
    const connected = feeds.length > 0 && feeds.every((feed) => feed.isOpen);
    poll = setTimeout(() => {
      if (document.visibilityState === "visible") soon();
      schedulePoll();
    }, connected ? pollMs : POLL_ALONE_MS);
  }

  function happened(message) {
    if (types && ![...types, "gap", "resync"].includes(message.type)) return;
    const bar = message.type === "progress" && panels.querySelector("[data-run-progress]");
    if (bar && host.dataset.liveSeq !== undefined) {
      // One run's page: its bar moves at once, and what else changes is announced by a step or status of its own.
      bar.value = message.progress;
      return;
    }
    soon();
  }

  function stateChanged() {
    show();
    schedulePoll();
  }

  // A retry of a finished run is a new page load, so a final page needs no socket.
  const feeds = [];
  if (!isFinal()) {
    const seq = host.dataset.liveSeq === undefined ? null : Number(host.dataset.liveSeq);
    for (const path of host.dataset.live.split(" ")) feeds.push(new Feed(path, seq, happened, stateChanged));
  }

  document.addEventListener("htmx:finally:request", (event) => {
    const request = event.detail?.ctx;
    if (request?.sourceElement !== panels) return;
    offline = !request.response?.raw?.ok;
    settled();
  });

  function settled() {
    refreshing = false;
    setTimeout(() => {
      if (isFinal()) {
        for (const feed of feeds) feed.end();
        clearTimeout(poll);
      }
      show();
      if (wanted) soon();
    }, REFRESH_GAP_MS / 4);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible" || isFinal()) return;
    for (const feed of feeds) feed.hurry();
    soon();
  });
  window.addEventListener("online", () => {
    for (const feed of feeds) feed.hurry();
  });

  show();
  schedulePoll();
})();
