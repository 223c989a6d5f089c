// Submits the answer to the application, so that nobody has to press the button.
document.getElementById("form-post").form.submit();
