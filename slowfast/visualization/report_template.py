"""The template of the page that reports on a run. Jinja2 escapes every value in it."""

TEMPLATE = """\
{% macro table(it) %}
<div class="wide"><table>
<thead><tr>{% for cell in it.header %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in it.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% if it.hidden %}
<p class="small">{{ it.hidden }} more are not shown.</p>
{% endif %}
{% endmacro %}
{% macro pictures(names) %}
<div class="pictures">
{% for name in names if name in figures %}
<figure class="{{ name }}"><img src="{{ figures[name].uri }}" alt="{{ figures[name].caption }}">
<figcaption>{{ figures[name].caption }}</figcaption></figure>
{% endfor %}
</div>
{% endmacro %}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Report on {{ run.name }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 72rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin-bottom: 0; }
h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-size: 0.9rem; overflow-wrap: normal; }
th, td { text-align: left; padding: 0.25rem 0.8rem 0.25rem 0; border-bottom: 1px solid #ddd; vertical-align: top;
  unicode-bidi: isolate; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5rem 2.5rem; align-items: flex-start; margin-top: 1.2rem; }
.pictures > div { max-width: 100%; }
figure { margin: 0; flex: 0 1 21.5rem; }
figure.confusion { flex-basis: 44rem; }
figure img { width: 100%; height: auto; }
figcaption, .small { font-size: 0.85rem; color: #555; }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.2rem; }
.frames { display: grid; grid-template-columns: repeat(4, 1fr); gap: 2px; }
.frames img { width: 100%; height: auto; }
.note { border-left: 4px solid #e69f00; padding-left: 0.7rem; }
</style>
</head>
<body>
<h1>{{ run.name }}</h1>
<p>{{ status }}.<br><span class="small">{{ folder }}, reported {{ now }}</span></p>
{% for text in notes %}
<p class="note small">Note: {{ text }}.</p>
{% endfor %}

<h2>Results</h2>
{% if results %}
{{ table(results) }}
{% else %}
<p>There is no accuracy in the log.</p>
{% endif %}

{% if "loss" in figures or "accuracy_epochs" in figures %}
<h2>Curves</h2>
{{ pictures(["accuracy_wall_clock", "accuracy_iterations", "accuracy_epochs", "loss"]) }}
{% endif %}

<h2>Schedule</h2>
{% for text in contents.schedule_notes %}
<p class="note small">{{ text }}</p>
{% endfor %}
{% if contents.schedule %}
{{ table(contents.schedule) }}
{% endif %}
{{ pictures(["batch_shape", "time_split"]) }}

{% if contents.worst_classes or "per_class" in figures %}
<h2>Classes</h2>
<p class="small">{{ protocol }}</p>
<div class="pictures">
{% if contents.worst_classes and contents.worst_classes.rows %}
<div>
<h3>Worst classes</h3>
{{ table(contents.worst_classes) }}
</div>
{% endif %}
{% if contents.confused_pairs and contents.confused_pairs.rows %}
<div>
<h3>Most confused classes</h3>
{{ table(contents.confused_pairs) }}
</div>
{% endif %}
</div>
{{ pictures(["per_class", "confusion"]) }}
{% endif %}

{% if contents.examples %}
<h2>Wrong predictions</h2>
<p>{{ contents.num_wrong }} videos of the test have a wrong prediction. These have the highest scores for it:</p>
<div class="examples">
{% for example in contents.examples %}
<div>
{% if example.frames %}
<div class="frames">
{% for frame in example.frames %}
<img src="{{ jpeg(frame) }}" alt="frame {{ loop.index }} of {{ example.path }}">
{% endfor %}
</div>
{% else %}
<p class="note small">No frames: {{ example.note }}.</p>
{% endif %}
<p class="small"><b>{{ example.prediction }}</b> (score {{ example.score }}) instead of <b>{{ example.label }}</b><br>
{{ example.path }}</p>
</div>
{% endfor %}
</div>
{% endif %}

<h2>Bad videos</h2>
{% if contents.bad_videos %}
{{ table(contents.bad_videos) }}
{% else %}
<p>None is listed: every video that was used could be read.</p>
{% endif %}

<h2>Config</h2>
{% if contents.changed_keys %}
<p>{{ contents.changed_keys.rows | length }} keys differ from the defaults:</p>
{{ table(contents.changed_keys) }}
{% else %}
<p>It is not known.</p>
{% endif %}

<h2>Environment</h2>
{% if contents.environment %}
<div class="wide"><table><tbody>
{% for name, value in contents.environment.items() %}
<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="small">Started or resumed: {{ contents.starts | join(", ") }}</p>
{% else %}
<p>An earlier version wrote the log, without the environment.</p>
{% endif %}
</body>
</html>
"""
