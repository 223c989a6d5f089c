// Sends the answer to the application on, so that nobody has to press the button.
document.getElementById("form-post").form.submit();
