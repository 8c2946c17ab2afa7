// The parts of a page that change by themselves. Everything works without this script, too.
(function () {
  'use strict';
  var body = document.body, lost = null;

  function tellLost(is) {
    if (is && !lost && body.dataset.lost) {
      lost = document.createElement('p');
      lost.id = 'lost';
      lost.className = 'notice warning';
      lost.setAttribute('role', 'status');
      lost.textContent = body.dataset.lost;
      body.querySelector('main').prepend(lost);
    } else if (!is && lost) {
      lost.remove();
      lost = null;
    }
  }

  // Server-drawn parts, each into the element of its name; never under somebody's hands.
  function take(event) {
    var part = JSON.parse(event.data), place = document.getElementById(part.id);
    tellLost(false);
    if (place && !place.contains(document.activeElement) && place.innerHTML !== part.html) {
      place.innerHTML = part.html;
    }
  }

  function follow() {
    var source = new EventSource('/live?page=' + encodeURIComponent(body.dataset.live));
    source.addEventListener('part', take);
    source.addEventListener('boot', function (event) {
      if (body.dataset.boot && event.data !== body.dataset.boot) { location.reload(); }
    });
    source.addEventListener('go', function (event) { source.close(); location.assign(event.data); });
    source.addEventListener('ended', function () { source.close(); location.assign('/login'); });
    source.onerror = function () { tellLost(true); };
    window.addEventListener('pagehide', function () { source.close(); });
  }

  // After a restart: until the host is there again, as another boot.
  function seek() {
    var before = body.dataset.seekBoot, next = body.dataset.seek || '/';
    fetch('/alive', { cache: 'no-store' }).then(function (answer) { return answer.json(); }).then(function (said) {
      if (said.state === 'up' && said.boot_id !== before) { location.assign(next); }
    }).catch(function () {});
    setTimeout(seek, 2000);
  }

  if (body.dataset.live && window.EventSource) { follow(); }
  if (body.dataset.seek !== undefined) { setTimeout(seek, 4000); }
}());
