//! How libraries look inside bundles: what a minifier leaves of the lines around their version.
//!
//! Minifiers take banners and names of variables away, but neither names of properties nor strings, nor do they change
//! the order of statements. Each pattern holds enough of what stands beside the version that no other code looks so. They
//! go with whatever set of advisories is used.

use super::advisories::{Component, TextPattern};

/// How far from its literal a pattern's match may begin or end, in bytes: all of them are short.
const REACH: usize = 512;

/// Library, pattern, what every match contains, and how the version is put together. In patterns `§` stands for a
/// version and `@` for a name that a minifier chose.
const PATTERNS: [(&str, &str, &str, Option<&str>); 16] = [
    (
        "underscore.js",
        r#"="(§)",@=(?:typeof self=="object"|"object"==typeof self)&&self\.self===self&&self"#,
        "self.self===self",
        None,
    ),
    (
        "underscore.js",
        r#"\.VERSION="(§)"[;,](?:var )?(?:@=)?function ?(?:@)?\(@,@,@\)\{if\((?:@===void 0|void 0===@)\)return @;switch\("#,
        ".VERSION=\"",
        None,
    ),
    (
        "underscore.js",
        r#"\.VERSION="(§)"[;,](?:var )?@=@\.each=@\.forEach=function\("#,
        ".VERSION=\"",
        None,
    ),
    (
        "backbone.js",
        r#"\.VERSION="(§)"[;,].{0,250}?\.emulateHTTP="#,
        ".emulateHTTP=",
        None,
    ),
    (
        "knockout",
        r#"@\.version="(§)"[,;]@\.@\("version",@\.version\)"#,
        "(\"version\",",
        None,
    ),
    (
        "react",
        r#"TextComponent:@\}\)[,;]@\.version="(§)""#,
        "TextComponent:",
        None,
    ),
    (
        "axios",
        r#"\{version:"(§)"\}[,;](?:var )?@=@\.version,@=\{\};\["object","boolean","number","function","string","symbol"\]"#,
        r#"["object","boolean","number","#,
        None,
    ),
    (
        "echarts",
        r#""(§)",(?:@=|dependencies:)\{zrender:""#,
        "{zrender:\"",
        None,
    ),
    (
        "highlightjs",
        r#"="(§)";(?:let|const|var) @=@,@=@,\{nodeStream:@,mergeStreams:"#,
        "{nodeStream:",
        None,
    ),
    (
        "highlightjs",
        r#"="(§)";function @\(@\)\{return!!\(@\|\|@===""\)\}(?:let|const|var) @=\{props:\["language","code","autodetect"\]"#,
        r#"["language","code","autodetect"]"#,
        None,
    ),
    (
        "pdf.js",
        r#"\.version="(§)",@\.build="[0-9a-f]{7,12}",@\.(?:getDocument|pdfBug)="#,
        ".build=\"",
        None,
    ),
    (
        "plupload",
        r#"\{VERSION:"(§)",STOPPED:1,STARTED:2,QUEUED:1,UPLOADING:2,"#,
        ",STOPPED:1,STARTED:2,",
        None,
    ),
    (
        "threejs",
        r#"="([0-9]{2,3})(?:dev)?",@=\{LEFT:0,MIDDLE:1,RIGHT:2[,}]"#,
        "={LEFT:0,MIDDLE:1,RIGHT:2",
        Some("0.$1.0"),
    ),
    (
        "ua-parser-js",
        r#"="(§)",@="",@="\?",@="function",@="undefined",@="object","#,
        "=\"?\",",
        None,
    ),
    ("AlaSQL", r#"\.version="(§)",@\.debug=void 0"#, ".debug=void 0", None),
    (
        "backbone.js",
        r#"\.VERSION="(§)"[;,]@\.\$=@[;,]@\.noConflict=function\("#,
        ".noConflict=function(",
        None,
    ),
];

/// Adds the patterns of a library to those of its advisories.
pub(super) fn add(component: &mut Component) {
    for (name, pattern, literal, version) in PATTERNS {
        if component.name == name {
            component.text.push(TextPattern {
                regex: pattern.replace('§', "[0-9][0-9.a-zA-Z_-]+").replace('@', r"[\w$]+"),
                version: version.map(str::to_owned),
                literal: literal.to_owned(),
                reach: REACH,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::advisories::Advisories;
    use super::super::catalog::Catalog;

    /// What bundlers made of versions on npm, around the version; and the same with another minifier's habits.
    const FOUND: [(&str, &str, &str); 20] = [
        (
            "underscore.js",
            "1.13.7",
            r#"(function(){var s="1.13.7",v=typeof self=="object"&&self.self===self&&self||typeof window=="object""#,
        ),
        (
            "underscore.js",
            "1.13.2",
            r#"var n="1.13.2",r="object"==typeof self&&self.self===self&&self||"object"==typeof global"#,
        ),
        (
            "underscore.js",
            "1.10.1",
            r#"var lr=o.VERSION="1.10.1";function W(n,r,e){if(r===void 0)return n;switch(e??3){case 1:"#,
        ),
        (
            "underscore.js",
            "1.8.3",
            r#"m.VERSION="1.8.3";var b=function(n,t,r){if(t===void 0)return n;switch(null==r?3:r){"#,
        ),
        (
            "underscore.js",
            "1.5.1",
            r#"v._=e,e.VERSION="1.5.1";var p=e.each=e.forEach=function(n,r,t){if(n!=null){"#,
        ),
        (
            "backbone.js",
            "0.3.3",
            r#"s.VERSION="0.3.3";var n=this._;!n&&typeof m<"u"&&(n=E()._);var h=this.jQuery||this.Zepto;s.emulateHTTP=!1"#,
        ),
        (
            "backbone.js",
            "1.1.0",
            r#"e.VERSION="1.1.0",e.$=r.jQuery||r.$,e.noConflict=function(){return r.Backbone=i,this},e.emulateHTTP=!1"#,
        ),
        (
            "knockout",
            "3.0.0",
            r#"e.version="3.0.0",e.b("version",e.version),e.a=(function(){"#,
        ),
        (
            "react",
            "0.13.1",
            r#"Reconciler:s,TextComponent:f}),O.version="0.13.1",p.exports=O}"#,
        ),
        (
            "axios",
            "0.27.1",
            r#"Le={version:"0.27.1"},Kr=Le.version,ne={};["object","boolean","number","function","string","symbol"].forEach"#,
        ),
        (
            "echarts",
            "5.1.2",
            r#"typeof window<"u",Ik="5.1.2",Pk={zrender:"5.1.1"},Rk=1"#,
        ),
        (
            "echarts",
            "3.5.4",
            r#"vt={version:"3.5.4",dependencies:{zrender:"3.4.4"}};"#,
        ),
        (
            "highlightjs",
            "10.1.1",
            r#"var nn="10.1.1";let ge=n,ve=r,{nodeStream:Oe,mergeStreams:tn}=c"#,
        ),
        (
            "highlightjs",
            "10.3.2",
            r#"var nn="10.3.2";function tn(a){return!!(a||a==="")}let an={props:["language","code","autodetect"],data"#,
        ),
        (
            "pdf.js",
            "1.8.175",
            r#"Z.version="1.8.175",Z.build="55a853b6",Z.getDocument=s"#,
        ),
        (
            "plupload",
            "2.3.6",
            r#"c={VERSION:"2.3.6",STOPPED:1,STARTED:2,QUEUED:1,UPLOADING:2,FAILED:4"#,
        ),
        (
            "threejs",
            "0.124.0",
            r#"var ot="124",En={LEFT:0,MIDDLE:1,RIGHT:2,ROTATE:0,DOLLY:1,PAN:2}"#,
        ),
        ("threejs", "0.92.0", r#"var Ft="92",Bi={LEFT:0,MIDDLE:1,RIGHT:2},Qt=0"#),
        (
            "ua-parser-js",
            "1.0.2",
            r#""use strict";var v="1.0.2",k="",x="?",j="function",y="undefined",V="object",M="string""#,
        ),
        (
            "AlaSQL",
            "0.4.11",
            r#"u.exec(e,n,r,t))};u.version="0.4.11",u.debug=void 0;"#,
        ),
    ];

    #[test]
    fn libraries_are_known_by_what_minifiers_leave() {
        let catalog = Catalog::new(Advisories::embedded().unwrap());
        for (name, version, text) in FOUND {
            let padded = format!("!function(){{var a=1;{text};a()}}();");
            let hits = catalog.in_text(&padded, &padded);
            let hits: Vec<_> = hits.iter().map(|(index, version)| (*index, version.as_str())).collect();
            assert_eq!(hits, [(catalog.by_name(name).unwrap(), version)], "{name} {version}");
        }
    }

    #[test]
    fn code_that_only_shares_a_line_with_a_library_is_none() {
        let catalog = Catalog::new(Advisories::embedded().unwrap());
        let others = [
            r#"t.VERSION="4.1.0";var n=t.each=function(e){}"#,
            r#"var t="object"==typeof self&&self.self===self&&self,v="2.0.1""#,
            r#"e.version="3.0.0",e.build="nightly",e.getDocument=s"#,
            r#"a={version:"1.2.3"},b={};["object","boolean"].forEach"#,
            r#"e.noConflict=function(){},e.VERSION="1.0.0""#,
            r#"i="17",m={LEFT:37,UP:38,RIGHT:39}"#,
        ];
        for text in others {
            assert!(catalog.in_text(text, text).is_empty(), "{text}");
        }
    }
}
