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
