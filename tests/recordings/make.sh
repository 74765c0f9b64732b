#!/bin/sh
# Make the caller's clips again: flite speaks, sox brings them to a telephone's format and level.
# 8 kHz mono 16 bit, 300-3400 Hz, speech at about -20 dBFS RMS, 100 ms of silence at both ends.
# Needs the distribution's flite (voices rms and kal16) and sox. Run it here: ./make.sh
set -eu
cd "$(dirname "$0")"
raw=$(mktemp --suffix=.wav)
trap 'rm -f "$raw"' EXIT

say() { # voice, file, text
    flite -voice "$1" -t "$3" -o "$raw"
    # silence the synthesiser leaves at the ends goes first, so that the level is that of speech
    level=$(sox -D "$raw" -n rate 8000 sinc 300-3400 silence 1 0.01 1% reverse silence 1 0.01 1% stats 2>&1 |
        awk '/^RMS lev dB/ { print -20 - $4 }')
    sox -D "$raw" -r 8000 -c 1 -b 16 "$2" gain -6 rate 8000 sinc 300-3400 \
        silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse gain 6 gain "$level" pad 0.1 0.1
}

say rms opening_hours.wav "what are your opening hours"
say rms bill.wav "i have a question about my bill"
say rms invoice_number.wav "four two seven one"
say rms no_thank_you.wav "no thank you"
say rms goodbye.wav "that is all goodbye"
say rms yes.wav "yes"
say rms no.wav "no"
say rms appointment.wav "i would like to make an appointment"
say rms friday.wav "on friday"
say rms operator.wav "can i speak to a person please"
say rms foreign.wav "the train from boston was late again"
say kal16 opening_hours_kal.wav "what are your opening hours"
say kal16 bill_kal.wav "i have a question about my bill"
say kal16 goodbye_kal.wav "that is all goodbye"
say kal16 appointment_kal.wav "i would like to make an appointment"
