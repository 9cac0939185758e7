use serde::{Deserialize, Serialize};

/// One thing that was done on a page on the way to what was found there. In order, from the page as it was when it had
/// settled, the steps of a path can be done again by a person or a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The URL of the frame it was done in; empty for the page itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub frame: String,
    /// What was done.
    #[serde(default)]
    pub kind: StepKind,
    /// To which element: a CSS selector made of ids and positions, in which ` >>> ` leads into a shadow root. `document`
    /// and `window` stand for the whole.
    #[serde(default)]
    pub element: String,
    /// What is written on the element, at most 80 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The key that was pressed or the option that was chosen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

impl Step {
    /// What a person does, in a few words. What is written on the page stands in it as it is.
    pub fn words(&self) -> String {
        let given = |text: &str, before: &str, after: &str| {
            if text.is_empty() {
                String::new()
            } else {
                format!("{before}{text}{after}")
            }
        };
        [
            self.kind.verb().to_owned(),
            given(&self.value, " \"", "\""),
            given(&self.label, " \u{201c}", "\u{201d}"),
            format!(" ({})", self.element),
            given(&self.frame, " in the frame ", ""),
        ]
        .concat()
    }
}

/// What can be done with an element.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Press and release it, with mouse, pointer or focus as it comes.
    Click,
    /// Point at it.
    Hover,
    /// Give it the focus.
    Focus,
    /// Type a value into it.
    Fill,
    /// Choose an option of it.
    Choose,
    /// Press a key in it: one, or the arrows.
    Keys,
    /// Fill and send it, if it sends nothing but a GET or its scripts see to it.
    Submit,
    /// Scroll it to its end.
    Scroll,
    /// Click it twice.
    DoubleClick,
    /// Click it with the other button.
    ContextMenu,
    /// Point at it, then elsewhere.
    Leave,
    /// Give it the focus, then take it away.
    Blur,
    /// Touch it.
    Touch,
    /// Let its animations come to their ends.
    Finish,
    /// Play it to its end.
    Play,
    /// Paste a word into it.
    Paste,
    /// Copy and cut in it.
    Copy,
    /// Select its text.
    Mark,
    /// Drag it and drop it.
    Drag,
    /// Drop something on it.
    Drop,
    /// Press it, move, release.
    Slide,
    /// Press it for a second.
    LongPress,
    /// Leave the window and come back to it.
    Return,
    /// Make the window narrow.
    Resize,
    /// Something that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl StepKind {
    fn verb(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Hover => "point at",
            Self::Focus => "focus",
            Self::Fill => "type into",
            Self::Choose => "choose in",
            Self::Keys => "press in",
            Self::Submit => "fill and submit",
            Self::Scroll => "scroll to the end of",
            Self::DoubleClick => "double-click",
            Self::ContextMenu => "right-click",
            Self::Leave => "point at, then leave",
            Self::Blur => "focus, then leave",
            Self::Touch => "touch",
            Self::Finish => "wait for the animations of",
            Self::Play => "play to its end",
            Self::Paste => "paste a word into",
            Self::Copy => "copy and cut in",
            Self::Mark => "select the text of",
            Self::Drag => "drag and drop",
            Self::Drop => "drop something on",
            Self::Slide => "press, move and release",
            Self::LongPress => "press for a second",
            Self::Return => "leave the window and come back to",
            Self::Resize => "make the window narrow, then see",
            Self::Unknown => "use",
        }
    }
}

/// What an exploration of a page came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explored {
    /// Things done.
    #[serde(default)]
    pub actions: u32,
    /// Things that were left undone because the page's share of actions or time was used up.
    #[serde(default)]
    pub cut_off: u32,
    /// Things that were left undone because they look as if they ended or removed something.
    #[serde(default)]
    pub forbidden: u32,
    /// How often the page was loaded again, because nothing less brought its first state back.
    #[serde(default)]
    pub reloads: u32,
    /// Milliseconds from the first look to the last.
    #[serde(default)]
    pub took_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_said_in_words() {
        let mut step = Step {
            kind: StepKind::Click,
            element: "#menu > button:nth-of-type(2)".to_owned(),
            label: "Account".to_owned(),
            ..Step::default()
        };
        assert_eq!(
            step.words(),
            "click \u{201c}Account\u{201d} (#menu > button:nth-of-type(2))"
        );
        step = Step {
            kind: StepKind::Choose,
            value: "de".to_owned(),
            label: String::new(),
            frame: "https://shop.test/part".to_owned(),
            ..step
        };
        assert_eq!(
            step.words(),
            "choose in \"de\" (#menu > button:nth-of-type(2)) in the frame https://shop.test/part"
        );
    }
}
