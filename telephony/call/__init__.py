"""One phone call: state is its table, call drives it, the others are what can happen to it.

agreement: offers and answers. ringing: everything before the answer. hold: media that changes. transfer: REFER.
keypad: keys by INFO."""
