'use strict';
(function () {
  var root = document.documentElement;
  root.classList.add('js');

  function all(selector, within) { return Array.from((within || document).querySelectorAll(selector)); }
  function get(id) { return document.getElementById(id); }
  function make(tag, name, text) {
    var e = document.createElement(tag);
    if (name) e.className = name;
    if (text !== undefined) e.textContent = text; // text only: evidence is never read as HTML
    return e;
  }

  // Filter

  var rows = all('.clause'), chips = all('.chip');
  var bar = document.querySelector('.filter'), search = get('search'), area = get('area'), level = get('level');
  var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });

  function filter() {
    var verdicts = chips.filter(function (c) { return c.getAttribute('aria-pressed') === 'true'; })
      .map(function (c) { return c.dataset.verdict; });
    var words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    var shown = 0;
    rows.forEach(function (row, i) {
      var d = row.dataset;
      var fits = (!verdicts.length || verdicts.includes(d.verdict)) &&
        (!area.value || area.value === d.area) && (!level.value || level.value === d.level) &&
        words.every(function (w) { return texts[i].includes(w); });
      row.hidden = !fits;
      if (fits) shown++;
    });
    all('.area').forEach(function (a) { a.hidden = !a.querySelector('.clause:not([hidden])'); });
    var filtered = Boolean(verdicts.length || words.length || area.value || level.value);
    get('shown').textContent = filtered ? shown + ' of ' + rows.length : '';
    get('none').hidden = shown > 0 || !filtered;
    get('reset').hidden = !filtered;
    sayOpen();
  }

  // reveal brings the clauses on the screen when a filter changed them unseen.
  function reveal() {
    var clauses = get('clauses');
    if (clauses.getBoundingClientRect().top > innerHeight / 2) clauses.scrollIntoView();
  }

  function clear() {
    chips.forEach(function (c) { c.setAttribute('aria-pressed', 'false'); });
    search.value = area.value = level.value = '';
    filter();
  }

  chips.forEach(function (c) {
    c.addEventListener('click', function () {
      c.setAttribute('aria-pressed', String(c.getAttribute('aria-pressed') !== 'true'));
      filter();
      reveal();
    });
  });
  [search, area, level].forEach(function (e) {
    e.addEventListener('input', function () {
      filter();
      // Where the bar does not stick, the field would leave the screen.
      if (getComputedStyle(bar).position === 'sticky') reveal();
    });
  });
  bar.addEventListener('submit', function (e) { e.preventDefault(); });
  get('reset').addEventListener('click', function (e) { e.preventDefault(); clear(); search.focus(); });
  document.addEventListener('keydown', function (e) {
    if (e.key === '/' && !e.ctrlKey && !e.metaKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) {
      e.preventDefault();
      search.focus();
    }
  });

  function visibleRows() { return rows.filter(function (r) { return !r.hidden; }); }
  function anyOpen() { return visibleRows().some(function (r) { return r.open; }); }
  function sayOpen() { get('open').textContent = anyOpen() ? 'Close all' : 'Open all'; }
  get('open').addEventListener('click', function () {
    var open = !anyOpen();
    visibleRows().forEach(function (r) { r.open = open; });
  });

  // Evidence: drawn when a row is first opened, a body when its exchange is.

  var few = 12;
  var stored = all('script[data-exchange]');
  function exchange(i) { return JSON.parse(stored[i].textContent); }

  function drawEvidence(row) {
    var place = row.querySelector('.evidence');
    if (!place || place.dataset.drawn) return;
    place.dataset.drawn = 'yes';
    var shown = place.dataset.shown.split(' ').filter(Boolean).map(Number);
    if (!shown.length) return;
    place.textContent = '';
    if (place.dataset.missing) place.append(make('p', 'note', 'Not in the document: ' + place.dataset.missing));
    shown.slice(0, few).forEach(function (i) { place.appendChild(drawExchange(i)); });
    if (shown.length <= few) return;
    var more = make('button', 'toggle more', 'Show all ' + shown.length + ' exchanges');
    more.type = 'button';
    more.addEventListener('click', function () {
      shown.slice(few).forEach(function (i) { place.insertBefore(drawExchange(i), more); });
      more.remove();
    });
    place.appendChild(more);
  }

  function drawExchange(i) {
    var x = exchange(i), box = make('details', 'exchange'), line = make('summary');
    box.dataset.index = i;
    line.append(make('span', '', x.id + '  '), x.method + ' ' + path(x.url) + ' → ' + (x.status || 'no response'),
      make('span', '', '  ' + x.took));
    box.appendChild(line);
    box.addEventListener('toggle', function () {
      if (!box.open || box.dataset.drawn) return;
      box.dataset.drawn = 'yes';
      box.appendChild(drawPart('Request', [x.method + ' ' + x.url].concat(x.request_headers || []), x.request));
      if (x.status) box.appendChild(drawPart('Response', ['HTTP ' + x.status].concat(x.response_headers || []), x.response));
      if (x.error) {
        var part = make('div', 'part');
        part.append(make('h4', '', 'Error'), make('pre', '', x.error));
        box.appendChild(part);
      }
    });
    return box;
  }

  function path(url) { return url.replace(/^[a-z]+:\/\/[^\/]*/i, '') || url; }

  function drawPart(title, head, body) {
    var part = make('div', 'part'), pre = make('pre');
    pre.tabIndex = 0;
    pre.dir = 'auto';
    part.append(make('h4', '', title), make('pre', 'head', head.join('\n')));
    if (!body.head) {
      part.appendChild(make('p', 'note', 'No body.'));
      return part;
    }
    var pretty = body.left ? '' : reindent(body.head);
    function fill(text) {
      pre.textContent = text;
      if (body.left) pre.append(make('span', 'left', '… ' + body.left.toLocaleString('en') + ' bytes left out here; result.json has them …'), body.tail);
    }
    fill(pretty || body.head);
    part.appendChild(pre);
    if (pretty && pretty !== body.head) {
      var toggle = make('button', 'toggle', 'As sent'), raw = false;
      toggle.type = 'button';
      toggle.addEventListener('click', function () {
        raw = !raw;
        toggle.textContent = raw ? 'Indented' : 'As sent';
        fill(raw ? body.head : pretty);
      });
      part.appendChild(toggle);
    }
    return part;
  }

  // reindent changes white space between tokens and nothing else: numbers,
  // escapes and keys that stand twice must be seen as they were sent.
  function reindent(text) {
    try { JSON.parse(text); } catch (e) { return ''; }
    var out = '', depth = 0, tokens = text.match(/"(?:[^"\\]|\\[^])*"|[{}\[\],:]|[^\s{}\[\],:"]+/g) || [];
    function line() { return '\n' + '  '.repeat(depth); }
    tokens.forEach(function (t, i) {
      var before = tokens[i - 1];
      if (t === '}' || t === ']') {
        depth--;
        if (before !== '{' && before !== '[') out += line();
      } else if (before === '{' || before === '[' || before === ',') {
        out += line();
      }
      out += t === ':' ? ': ' : t;
      if (t === '{' || t === '[') depth++;
    });
    return out;
  }

  document.addEventListener('toggle', function (e) {
    if (!e.target.classList || !e.target.classList.contains('clause')) return;
    if (e.target.open) drawEvidence(e.target);
    sayOpen();
  }, true);

  document.addEventListener('click', function (e) {
    var show = e.target.closest('[data-show]'), copy = e.target.closest('.copy');
    if (show) {
      var box = show.closest('.clause').querySelector('.exchange[data-index="' + show.dataset.show + '"]');
      if (box) {
        box.open = true;
        box.scrollIntoView({ block: 'nearest' });
        box.querySelector('summary').focus({ preventScroll: true });
      }
    }
    if (copy) copyText(copy.parentNode.querySelector('pre'), copy);
  });

  function copyText(pre, button) {
    function say(word) {
      button.textContent = word;
      setTimeout(function () { button.textContent = 'Copy'; }, 1600);
    }
    function select() {
      getSelection().selectAllChildren(pre);
      say(document.execCommand('copy') ? 'Copied' : 'Selected');
    }
    if (navigator.clipboard) navigator.clipboard.writeText(pre.textContent).then(function () { say('Copied'); }, select);
    else select();
  }

  // Deep links: #STR-009 opens the row, whatever the filter hid.

  function follow() {
    var id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch (e) { /* taken as it stands */ }
    var target = id && get(id);
    if (!target) return;
    if (target.hidden) clear();
    if (target.classList.contains('clause')) {
      target.open = true;
      drawEvidence(target);
    }
    target.scrollIntoView();
  }
  addEventListener('hashchange', follow);
  all('a[href^="#"]').forEach(function (a) {
    a.addEventListener('click', function () { if (a.hash === location.hash) follow(); });
  });

  // On paper, what is not plainly kept is opened.

  var printed = [];
  addEventListener('beforeprint', function () {
    printed = visibleRows().filter(function (r) { return !r.open && !/^(pass|skip)$/.test(r.dataset.verdict); });
    printed.forEach(function (r) { r.open = true; });
  });
  addEventListener('afterprint', function () { printed.forEach(function (r) { r.open = false; }); });

  filter();
  follow();
})();
