"""The web room: pages and API for a person at a desk. Asks `investigation` and `storage`.

    gate.py      every request: host, size and kind of body, who it is; headers of every answer
    access.py    roles: `Viewer`, `Investigator`, `Administrator`, `Anybody`; `Visitor`
    desk.py      the store and its services, also after it was away
    routes/      one module for each part; `app.py` lists their routers
    pages.py     `page(request, "template.html", ...)`, the navigation, filters for templates
    errors.py    the answer to an error: page, piece of a page, JSON
    static.py    style sheet, script, htmx
    room.py      the model, detector and gallery of the searches, loaded in the background
    searching.py a search as pages and programs ask for it; shelf.py: what of it is remembered
    deciding.py  a decision, checked against what its maker may see
    ways.py      the way of an identity or a track, as far as a visitor may see it
    player.py    what the player plays; jobs.py: clips and exports, made in the background
    played.py    what somebody is playing: one audit row, not one a piece
    looked.py    what somebody looked at: one audit row, not one a picture
    watch.py, cases.py  watches, alerts and cases, as far as a visitor may see them

Conventions:

- A route names its role by the type of one argument: `who: Investigator`. There must be exactly
  one (`check_routes`; `tests/web/roles.py` holds the table). `who.desk.store`, `.reader`,
  `.accounts`, `.tokens` are taken anew in each request and never kept. Routes are plain `def`:
  they run in threads, so they may wait for the store.
- `who.cameras` (a frozenset, or None for all) goes into every search, list, picture, clip and
  alert; `who.check_camera(camera, "track 12")` answers 404 for a camera outside their groups.
- What is seen, searched, played, exported or decided is written down: `who.note("search",
  "3 photos", reason, details)`. Decisions, which write their own row, get `who.name`. What a page
  asks for by itself is `who.look("track 12", path)`: no row where what was noted showed it.
- Errors are raised, not caught: `CrosscamError` becomes 422 with its message (503 for a
  `StoreError` while the store cannot be reached, and for a model that cannot be loaded),
  `HTTPException(404, "there is no track 12")` the rest. Catch one only to show it beside its form.
- A form is a plain POST that answers 303, or a page with status 422 and `problem`; it carries
  `<input type="hidden" name="csrf" value="{{ csrf }}">`. htmx sends the token by itself, as a
  header. File uploads are `UploadFile`; the gate has limited the body (30 MB) before.
- No inline script, `style=` attribute, `hx-on:` or trigger filter `[...]`: the browser refuses
  them (`gate.HEADERS`). A bar is `<meter>` or an SVG `<rect width=...>`. Our script is
  `static/desk.js`, our styles `static/desk.css`.
- htmx swaps errors in too: an answer to it is a piece (`error_piece.html`), never a page.
- A search is kept in memory for its user under an id in the address: `room.shelf.find(key,
  who.name, Asked).query` (argument `room: TheRoom`) is what a watch or case is made of. After an
  erasure `room.shelf.forget_tracks(tracks)`.
- A picture or clip is asked for by its row's id, never by a path, and never cached.
- Pages' routers: `APIRouter(include_in_schema=False)`. Programs' routes stand under /api/v1, have
  models for their answers and bring a token in place of a cookie; the same types give the role.
- Times are UTC seconds inside; `| moment` and the macro `time` show them by the site's clock, with
  `| zone` beside; `| iso` is for programs; `web.times.utc_seconds` and `check_order` read them.
"""
