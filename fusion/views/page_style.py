"""How a page looks, and the script that draws its pictures where none stand still."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--ink:#1d2129;--soft:#555c68;--line:#d9dce1;--back:#fff;--band:#f4f5f7;--link:#0a5c9e}
@media screen and (prefers-color-scheme:dark){:root{--ink:#fafafa;--soft:#b3b8c2;--line:#3a3f4a;--back:#0e1117;
--band:#1a1e27;--link:#7cc0f5}}
*{box-sizing:border-box}html{scroll-behavior:smooth}@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0 auto;max-width:60rem;padding:1rem;background:var(--back);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",
sans-serif}
a{color:var(--link)}h1{font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere;margin:.5rem 0}
h2{font-size:1.25rem;margin:2.2rem 0 .4rem;border-top:1px solid var(--line);padding-top:1rem}
h2::first-letter{text-transform:uppercase}
h3{font-size:1.05rem;margin:1.4rem 0 .2rem}figure{margin:.5rem 0;min-width:0}.plot{width:100%;overflow-x:auto}
.lead{color:var(--soft);margin:.4rem 0}.note{border-left:4px solid #e69f00;padding:.2rem .8rem;margin:.6rem 0}
.sample{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start;margin:.8rem 0}
.sample img{max-width:min(18rem,100%);max-height:16rem;border-radius:.4rem;background:#fff}
blockquote{flex:1 1 16rem;margin:0;font-size:1.15rem;overflow-wrap:anywhere;white-space:pre-wrap}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.8rem}
.figures dd{overflow-wrap:anywhere}.figures dt{font-size:.85rem}.figures dd+dd{font-size:.85rem;color:var(--soft)}
.figures dt+dd{font-size:1.35rem;line-height:1.25}
nav ol{columns:3 14rem;column-gap:2rem;padding-left:1.6rem}nav li{break-inside:avoid;overflow-wrap:anywhere}
nav li::first-letter,nav a::first-letter{text-transform:uppercase}
.still{overflow-x:auto}.still svg,.still img{display:block;max-width:100%;height:auto}
.still[data-wide]>svg,.still[data-wide] img{width:100%;min-width:36rem}
.finding{margin:.2rem 0;font-weight:600}figcaption p{margin:.25rem 0;color:var(--soft)}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.2rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{position:sticky;top:0;background:var(--back)}.scroll{overflow:auto;max-height:26rem}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.15rem 1rem;
background:var(--band);padding:.8rem;border-radius:.4rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}summary{cursor:pointer;padding:.3rem 0;min-height:24px}
@media(max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}
.figures{grid-template-columns:repeat(2,1fr)}.figures dd{margin-bottom:0}}
@media print{body{max-width:none;padding:0;font-size:11pt}details,nav{display:none}figure,.figures{break-inside:avoid}
h2,h3{break-after:avoid}.scroll{max-height:none;overflow:visible}.still[data-wide]>svg,.still[data-wide] img
{min-width:0}}
"""

SCRIPT = """
(function(){
  var dark=window.matchMedia('(prefers-color-scheme: dark)');
  function theme(on){
    var ink=on?'#fafafa':'#1d2129',line=on?'#3a3f4a':'#d9dce1';
    var axis={color:ink,gridcolor:line,zerolinecolor:line,linecolor:line};
    return {layout:{font:{color:ink,size:12,family:'system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif'},
      xaxis:axis,yaxis:axis,hoverlabel:{bgcolor:on?'#1a1e27':'#ffffff',font:{color:ink}}}};
  }
  function draw(on){
    document.querySelectorAll('.plot').forEach(function(box){
      var text=document.getElementById(box.dataset.figure).textContent;
      var made=JSON.parse(text.split('TEXT').join(on?'#fafafa':'#1d2129'));
      made.layout.template=theme(on);
      var wide=made.layout.width;
      if(wide){made.layout.width=Math.min(wide,box.clientWidth);}
      Plotly.react(box,made.data,made.layout,{responsive:!wide,displaylogo:false,displayModeBar:false});
    });
  }
  function now(){draw(dark.matches);}
  now();
  dark.addEventListener('change',now);
  window.addEventListener('beforeprint',function(){draw(false);});
  window.addEventListener('afterprint',now);
})();
"""
